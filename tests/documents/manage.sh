# "Manage hosted agents": its REST commands, sent by az.
# Given from outside: BASE_URL, AGENT_NAME and EMULATOR, in place of the account, the project and the agent of a reader.
# shellcheck shell=bash

# step: sign in
az cloud register --name FoundryLocal --endpoint-resource-manager "$EMULATOR/_arm"
az cloud set --name FoundryLocal
az login --identity > accounts.json
jq -e 'length == 1 and .[0].isDefault' accounts.json

# step: sign in as on a virtual machine
env -u IDENTITY_ENDPOINT -u IDENTITY_HEADER AZURE_CONFIG_DIR="$PWD/machine" REGISTER="$EMULATOR/_arm" \
    AZURE_POD_IDENTITY_AUTHORITY_HOST="$EMULATOR/_identity" bash -ec '
        az cloud register --name FoundryLocal --endpoint-resource-manager "$REGISTER"
        az cloud set --name FoundryLocal
        az login --identity' > accounts.json
jq -e 'length == 1 and .[0].user.type == "servicePrincipal"' accounts.json

# step: set the variables
API_VERSION="v1"
RESOURCE="https://ai.azure.com"
AGENT_URL="${BASE_URL}/agents/${AGENT_NAME}"
refused() { if "$@"; then return 1; fi; }
version_of() { jq -r '.version' "$1"; }
wait_until_active() {
    for _ in $(seq 100); do
        [ "$(az rest --method GET --url "${AGENT_URL}/versions/$1?api-version=${API_VERSION}" \
            --resource "${RESOURCE}" --query status --output tsv)" = active ] && return 0
    done
    return 1
}

# step: create a version
az rest --method POST \
    --url "${AGENT_URL}/versions?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --body '{
      "definition": {
        "kind": "hosted",
        "image": "myregistry.azurecr.io/my-agent:v1",
        "cpu": "1",
        "memory": "2Gi",
        "container_protocol_versions": [
          {"protocol": "responses", "version": "1.0.0"}
        ]
      }
    }' > first.json
jq -e '.object == "agent.version" and .version == "1"' first.json
wait_until_active 1

# step: create the next version
az rest --method POST \
    --url "${AGENT_URL}/versions?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --body '{
      "definition": {
        "kind": "hosted",
        "image": "myregistry.azurecr.io/my-agent:v2",
        "cpu": "1",
        "memory": "2Gi",
        "container_protocol_versions": [
          {"protocol": "responses", "version": "1.0.0"}
        ]
      }
    }' > second.json
jq -e '.version == "2" and .definition.image == "myregistry.azurecr.io/my-agent:v2"' second.json
wait_until_active 2

# step: list all agents of the project
az rest --method GET \
    --url "${BASE_URL}/agents?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > agents.json
jq -e --arg name "$AGENT_NAME" '[.data[].name] == [$name]' agents.json

# step: without its resource the token is for another audience
refused az rest --method GET --url "${BASE_URL}/agents?api-version=${API_VERSION}" 2> refusal.txt
grep -qi "unauthorized" refusal.txt

# step: read an agent
az rest --method GET \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > agent.json
jq -e '.versions.latest | .version == "2" and .status == "active" and .definition.kind == "hosted"' agent.json

# step: read a version
az rest --method GET \
    --url "${AGENT_URL}/versions/1?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > version.json
jq -e '.version == "1" and .status == "active"' version.json

# step: create a draft version
az rest --method POST \
    --url "${AGENT_URL}/versions?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --body '{
      "draft": true,
      "definition": {
        "kind": "hosted",
        "image": "myregistry.azurecr.io/my-agent:experimental",
        "cpu": "1",
        "memory": "2Gi",
        "container_protocol_versions": [
          {"protocol": "responses", "version": "1.0.0"}
        ]
      }
    }' > draft.json
DRAFT=$(version_of draft.json)
[[ $DRAFT =~ ^draft-[0-9]{13}$ ]]
wait_until_active "$DRAFT"

# step: list versions without drafts
az rest --method GET \
    --url "${AGENT_URL}/versions?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > versions.json
jq -e '[.data[].version] | sort == ["1", "2"]' versions.json

# step: list versions with drafts
az rest --method GET \
    --url "${AGENT_URL}/versions?api-version=${API_VERSION}&include_drafts=true" \
    --resource "${RESOURCE}" > versions.json
jq -e --arg draft "$DRAFT" '[.data[].version] | sort == ["1", "2", $draft]' versions.json

# step: a draft is never the latest and never routed to
az rest --method GET --url "${AGENT_URL}?api-version=${API_VERSION}" --resource "${RESOURCE}" > agent.json
jq -e '.versions.latest.version == "2"' agent.json
refused az rest --method PATCH \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --headers "Content-Type=application/merge-patch+json" "Foundry-Features=AgentEndpoints=V1Preview" \
    --body '{"agent_endpoint": {"version_selector": {"version_selection_rules": [
      {"agent_version": "'"$DRAFT"'", "traffic_percentage": 100, "type": "FixedRatio"}]}}}' 2> refusal.txt
grep -q "draft" refusal.txt

# step: delete the draft
az rest --method DELETE --url "${AGENT_URL}/versions/${DRAFT}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > deleted.json
jq -e '.deleted' deleted.json

# step: send all traffic to one version
az rest --method PATCH \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --headers "Content-Type=application/merge-patch+json" "Foundry-Features=AgentEndpoints=V1Preview" \
    --body '{
      "agent_endpoint": {
        "version_selector": {
          "version_selection_rules": [
            {"agent_version": "1", "traffic_percentage": 100, "type": "FixedRatio"}
          ]
        },
        "protocols": ["responses"]
      }
    }' > agent.json
jq -e '.agent_endpoint.version_selector.version_selection_rules
       | map([.agent_version, .traffic_percentage]) == [["1", 100]]' agent.json
jq -e '.agent_endpoint.protocols == ["responses"]' agent.json

# step: split the traffic between two versions
az rest --method PATCH \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --headers "Content-Type=application/merge-patch+json" "Foundry-Features=AgentEndpoints=V1Preview" \
    --body '{
      "agent_endpoint": {
        "version_selector": {
          "version_selection_rules": [
            {"agent_version": "1", "traffic_percentage": 90, "type": "FixedRatio"},
            {"agent_version": "2", "traffic_percentage": 10, "type": "FixedRatio"}
          ]
        },
        "protocols": ["responses"]
      }
    }' > agent.json
jq -e '.agent_endpoint.version_selector.version_selection_rules
       | map([.agent_version, .traffic_percentage]) == [["1", 90], ["2", 10]]' agent.json

# step: the split reaches the sessions
# The document only sets it; sixty calls without a session show it.
TOKEN=$(az account get-access-token --resource "${RESOURCE}" --query accessToken --output tsv)
for _ in $(seq 60); do
    curl -sS "${AGENT_URL}/endpoint/protocols/openai/responses?api-version=${API_VERSION}" \
        -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"input": "hi"}' |
        jq -r '.agent_reference.version'
done | sort | uniq -c | awk '{print $2}' > served.txt
grep -qx 1 served.txt

# step: stream the logs of a session
az rest --method POST --url "${AGENT_URL}/endpoint/sessions?api-version=${API_VERSION}" --resource "${RESOURCE}" \
    --body '{"version_indicator": {"type": "version_ref", "agent_version": "2"}}' > session.json
AGENT_VERSION="2"
SESSION_ID=$(jq -r '.agent_session_id' session.json)
# az prints when the stream ends, and the cloud ends a quiet one after two minutes: here they pass in a second.
curl -sSf -X PUT "$EMULATOR/_emulator/clock" -H "Content-Type: application/json" -d '{"speed": 120}'
az rest --method GET \
    --url "${AGENT_URL}/versions/${AGENT_VERSION}/sessions/${SESSION_ID}:logstream?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --headers "Foundry-Features=HostedAgents=V1Preview" "Accept=text/event-stream" > log.txt 2>&1
curl -sSf -X PUT "$EMULATOR/_emulator/clock" -H "Content-Type: application/json" -d '{"speed": 1}'
grep -q "^event: log" log.txt
grep -q "Successfully connected to container" log.txt
grep "^data: " log.txt | cut -c7- | jq -se 'map(select(.message)) | all(.timestamp and .stream)'

# step: disable the agent
az rest --method POST \
    --url "${AGENT_URL}:disable?api-version=${API_VERSION}" \
    --resource "${RESOURCE}"
curl -sS -o refusal.json -w '%{http_code}' "${AGENT_URL}/endpoint/protocols/openai/responses?api-version=${API_VERSION}" \
    -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"input": "hi"}' > code.txt
[ "$(cat code.txt)" = 403 ]

# step: enable it again
az rest --method POST \
    --url "${AGENT_URL}:enable?api-version=${API_VERSION}" \
    --resource "${RESOURCE}"
curl -sSf "${AGENT_URL}/endpoint/protocols/openai/responses?api-version=${API_VERSION}" \
    -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"input": "hi"}' > answer.json
jq -e '.status == "completed" and .output[0].content[0].text == "hi"' answer.json

# step: read the principal of the agent's identity
AGENT_IDENTITY=$(az rest --method GET \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" \
    --query "instance_identity.principal_id" \
    --output tsv)
echo "Agent identity principal ID: ${AGENT_IDENTITY}"
[[ $AGENT_IDENTITY =~ ^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$ ]]

# step: assign a role on the project
GROUP="/subscriptions/${SUBSCRIPTION}/resourceGroups/my-group"
PROJECT_SCOPE="$GROUP/providers/Microsoft.CognitiveServices/accounts/my-account/projects/my-project"
STORAGE_SCOPE="$GROUP/providers/Microsoft.Storage/storageAccounts/mystorage"
az role assignment create \
    --assignee-object-id "$AGENT_IDENTITY" \
    --assignee-principal-type ServicePrincipal \
    --role "Azure AI Developer" \
    --scope "$PROJECT_SCOPE" > assignment.json
jq -e --arg id "$AGENT_IDENTITY" --arg scope "$PROJECT_SCOPE" '.principalId == $id and .scope == $scope' assignment.json

# step: assigning it again is no error
az role assignment create \
    --assignee-object-id "$AGENT_IDENTITY" \
    --assignee-principal-type ServicePrincipal \
    --role "azure ai developer" \
    --scope "$PROJECT_SCOPE" > again.json
[ "$(jq -r .name again.json)" = "$(jq -r .name assignment.json)" ]

# step: assign a role on a storage account, and one by its id
az role assignment create \
    --assignee-object-id "$AGENT_IDENTITY" \
    --assignee-principal-type ServicePrincipal \
    --role "Storage Blob Data Contributor" \
    --scope "$STORAGE_SCOPE" > assignment.json
jq -e '.roleDefinitionId | endswith("ba92f5b4-2d11-453d-a403-e96b0029c9fe")' assignment.json
az role assignment create --assignee-object-id "$AGENT_IDENTITY" --assignee-principal-type ServicePrincipal \
    --role 53ca6127-db72-4b80-b1b0-d745d6d5456d --scope "$STORAGE_SCOPE" > assignment.json
jq -e '.roleDefinitionId | endswith("53ca6127-db72-4b80-b1b0-d745d6d5456d")' assignment.json

# step: verify the roles on the project
az role assignment list \
    --assignee "$AGENT_IDENTITY" \
    --scope "$PROJECT_SCOPE" \
    --output table > table.txt
grep -qE "Azure AI Developer +$PROJECT_SCOPE$" table.txt

# step: verify the roles on the storage account
az role assignment list \
    --assignee "$AGENT_IDENTITY" \
    --scope "$STORAGE_SCOPE" \
    --output table > table.txt
grep -q "Storage Blob Data Contributor" table.txt
grep -q "Foundry User" table.txt

# step: delete a role assignment
az role assignment delete --assignee "$AGENT_IDENTITY" --role "Foundry User" --scope "$STORAGE_SCOPE"
az role assignment list --assignee "$AGENT_IDENTITY" --scope "$STORAGE_SCOPE" --output table > table.txt
refused grep -q "Foundry User" table.txt

# step: open sessions keep a version and an agent
refused az rest --method DELETE --url "${AGENT_URL}?api-version=${API_VERSION}" --resource "${RESOURCE}" 2> refusal.txt
grep -q "active sessions" refusal.txt
az rest --method DELETE --url "${AGENT_URL}?api-version=${API_VERSION}&force=true" --resource "${RESOURCE}" > deleted.json
jq -e '.deleted' deleted.json

# step: delete a version
# Nobody has called this agent, so that the plain command of the document is enough.
for image in v1 v2; do
    az rest --method POST --url "${AGENT_URL}/versions?api-version=${API_VERSION}" --resource "${RESOURCE}" \
        --body '{"definition": {"kind": "hosted", "image": "myregistry.azurecr.io/my-agent:'$image'", "cpu": "1",
          "memory": "2Gi", "container_protocol_versions": [{"protocol": "responses", "version": "1.0.0"}]}}' > made.json
done
az rest --method DELETE \
    --url "${AGENT_URL}/versions/1?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > deleted.json
jq -e '.object == "agent.version.deleted" and .version == "1" and .deleted' deleted.json

# step: delete the agent and all its versions
az rest --method DELETE \
    --url "${AGENT_URL}?api-version=${API_VERSION}" \
    --resource "${RESOURCE}" > deleted.json
jq -e '.object == "agent.deleted" and .deleted' deleted.json
refused az rest --method GET --url "${AGENT_URL}?api-version=${API_VERSION}" --resource "${RESOURCE}" 2> refusal.txt
grep -qi "not found" refusal.txt
