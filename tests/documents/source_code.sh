# "Deploy a hosted agent from source code": its commands, by curl, jq, zip, pip and az.
# Given from outside: BASE_URL and EMULATOR, in place of a reader's account, project and cloud; AGENT_SOURCE, an agent that
# speaks both protocols.
# shellcheck shell=bash

# step: sign in
az cloud register --name FoundryLocal --endpoint-resource-manager "$EMULATOR/_arm"
az cloud set --name FoundryLocal
az login --identity > accounts.json
refused() { if "$@"; then return 1; fi; }

# step: build a minimal zip
cp "$AGENT_SOURCE" main.py
echo "idna==3.10" > requirements.txt
zip -q agent-code.zip main.py requirements.txt
[ "$(unzip -Z1 agent-code.zip | sort | xargs)" = "main.py requirements.txt" ]

# step: set the variables
ENDPOINT="$BASE_URL"
API_VERSION="2025-11-15-preview"
TOKEN=$(az account get-access-token --resource https://ai.azure.com --query accessToken -o tsv)
AGENT=my-code-agent
ZIP=./agent-code.zip
SHA=$(sha256sum "$ZIP" | cut -d' ' -f1)
[ -n "$TOKEN" ] && [ ${#SHA} = 64 ]

# step: write the metadata
cat > metadata.json <<'JSON'
{
  "description": "Hello-world code agent",
  "definition": {
    "kind": "hosted",
    "protocol_versions": [
      { "protocol": "responses", "version": "1.0.0" },
      { "protocol": "invocations", "version": "1.0.0" }
    ],
    "cpu": "1",
    "memory": "2Gi",
    "code_configuration": {
      "runtime": "python_3_13",
      "entry_point": ["python", "main.py"],
      "dependency_resolution": "remote_build"
    },
    "environment_variables": {
      "AZURE_AI_MODEL_DEPLOYMENT_NAME": "gpt-4.1-mini"
    }
  }
}
JSON
jq -e .definition.code_configuration metadata.json

# step: create the agent
curl -sS -X POST "$ENDPOINT/agents?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Accept: application/json" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -H "x-ms-agent-name: $AGENT" \
    -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@metadata.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip" > created.json
jq -e '.object == "agent" and .versions.latest.version == "1" and .versions.latest.status == "creating"' created.json

# step: poll until it is active
poll() (
    while true; do
        STATUS=$(curl -s -H "Authorization: Bearer $TOKEN" \
            -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
            "$ENDPOINT/agents/$AGENT/versions/$1?api-version=$API_VERSION" | jq -r '.status')
        echo "Status: $STATUS"
        [ "$STATUS" = "active" ] && break
        [ "$STATUS" = "failed" ] && echo "Provisioning failed." && exit 1
        sleep 5
    done
)
poll 1

# step: invoke it by Responses
curl -sS -D headers.txt -X POST "$ENDPOINT/agents/$AGENT/endpoint/protocols/openai/responses?api-version=v1" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -d '{"model":"gpt-4.1-mini","input":"Hello, agent!","stream":false}' > answer.json
jq -e '(.id | startswith("caresp_")) and .output[0].content[0].text == "heard Hello, agent!"' answer.json
SESSION=$(grep -i '^x-agent-session-id:' headers.txt | cut -d' ' -f2 | tr -d '\r')
[ -n "$SESSION" ]
grep -qi '^x-ms-region:' headers.txt

# step: invoke it by Invocations
curl -sS -D headers.txt -X POST "$ENDPOINT/agents/$AGENT/endpoint/protocols/invocations?api-version=v1" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -d '{"input":"Hello, this is a test invocation!"}' > answer.json
jq -e '.heard == "Hello, this is a test invocation!"' answer.json
grep -qi '^x-agent-session-id:' headers.txt

# step: stream the container's logs
curl -sSN "$ENDPOINT/agents/$AGENT/sessions/$SESSION:logstream?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Accept: text/event-stream" > log.txt 2> ended.txt & # a live stream goes on until somebody hangs up
READER=$!
for _ in $(seq 600); do grep -q "Inbound POST /responses" log.txt && break; sleep 0.1; done
kill "$READER"
grep -q "^event: log" log.txt
grep -q "Inbound POST /responses" log.txt

# step: repost the same code
curl -sS -X POST "$ENDPOINT/agents/$AGENT?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@metadata.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip" > updated.json
jq -e '.versions.latest.version == "1"' updated.json

# step: update the agent with other code
echo "# changed" >> main.py
zip -q agent-code.zip main.py requirements.txt
FIRST_SHA=$SHA
SHA=$(sha256sum "$ZIP" | cut -d' ' -f1)
[ "$SHA" != "$FIRST_SHA" ]
curl -sS -X POST "$ENDPOINT/agents/$AGENT?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@metadata.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip" > updated.json
jq -e '.object == "agent" and .versions.latest.version == "2"' updated.json
poll 2

# step: post to versions for an answer in the shape of a version
curl -sS -X POST "$ENDPOINT/agents/$AGENT/versions?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@metadata.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip" > version.json
jq -e '.object == "agent.version" and .version == "2"' version.json

# step: download the latest zip
VERSION=1
mkdir downloads && cd downloads
curl -sS -O -J -D ../headers.txt "$ENDPOINT/agents/$AGENT/code:download?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Accept: application/zip" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview"
[ "$(sha256sum "$AGENT.zip" | cut -d' ' -f1)" = "$SHA" ]
grep -qi "^x-ms-agent-version: 2" ../headers.txt
grep -qi "^x-ms-code-zip-sha256: $SHA" ../headers.txt

# step: download the zip of a version
# curl -J never overwrites, so that a second download needs a name of its own.
curl -sS -O -J "$ENDPOINT/agents/$AGENT/code:download?api-version=$API_VERSION&agent_version=$VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Accept: application/zip" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview"
[ "$(sha256sum "$AGENT-$VERSION.zip" | cut -d' ' -f1)" = "$FIRST_SHA" ]
cd ..

# step: build Linux dependencies for a bundle
rm -f agent-code.zip
pip install -q -r requirements.txt \
    --target packages/ \
    --platform manylinux2014_x86_64 \
    --python-version 3.13 \
    --implementation cp \
    --only-binary=:all:
zip -qr agent-code.zip main.py requirements.txt packages/
unzip -Z1 agent-code.zip > names.txt
grep -qx "packages/idna/__init__.py" names.txt

# step: deploy the bundle
SHA=$(sha256sum "$ZIP" | cut -d' ' -f1)
jq '.definition.code_configuration.dependency_resolution = "bundled"' metadata.json > bundled.json
curl -sS -X POST "$ENDPOINT/agents/$AGENT?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" \
    -H "Foundry-Features: CodeAgents=V1Preview,HostedAgents=V1Preview" \
    -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@bundled.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip" > updated.json
jq -e '.versions.latest.version == "3"' updated.json
poll 3
curl -sS -X POST "$ENDPOINT/agents/$AGENT/endpoint/protocols/openai/responses?api-version=v1" \
    -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
    -d '{"input":"packages"}' > answer.json
jq -e '.output[0].content[0].text == "idna of packages"' answer.json

# step: a layout that cannot start fails the version, and its error says why
mkdir -p wrapped && cp main.py wrapped/ && zip -qr wrapped.zip wrapped
curl -sS -X POST "$ENDPOINT/agents?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" -H "x-ms-agent-name: wrapped" \
    -H "x-ms-code-zip-sha256: $(sha256sum wrapped.zip | cut -d' ' -f1)" \
    -F "metadata=@metadata.json;type=application/json" \
    -F "code=@wrapped.zip;type=application/zip;filename=wrapped.zip" > created.json
AGENT=wrapped refused poll 1
curl -sS -H "Authorization: Bearer $TOKEN" "$ENDPOINT/agents/wrapped/versions/1?api-version=$API_VERSION" > version.json
jq -e '.error.code and .error.message' version.json

# step: build .NET output (needs dotnet)
dotnet new web --output MyAgent --no-restore
(cd MyAgent && dotnet publish -c Release -r linux-x64 --self-contained false -o publish/)
(cd MyAgent/publish && zip -qr ../../dotnet.zip .)
unzip -Z1 dotnet.zip > names.txt
grep -qx "MyAgent.dll" names.txt

# step: troubleshooting, a call without a token
code_of() { curl -sS -o refusal.json -w '%{http_code}' "$@"; }
[ "$(code_of "$ENDPOINT/agents?api-version=$API_VERSION")" = 401 ]

# step: troubleshooting, a create of a name that exists
[ "$(code_of -X POST "$ENDPOINT/agents?api-version=$API_VERSION" -H "Authorization: Bearer $TOKEN" \
    -H "x-ms-agent-name: $AGENT" -H "x-ms-code-zip-sha256: $SHA" \
    -F "metadata=@bundled.json;type=application/json" \
    -F "code=@$ZIP;type=application/zip;filename=$AGENT.zip")" = 409 ]
jq -e --arg text "Agent '$AGENT' already exists" '.error | .code == "conflict" and .message == $text' refusal.json

# step: troubleshooting, a download of an agent from an image
curl -sSf -X POST "$ENDPOINT/agents/from-image/versions?api-version=v1" -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" -d '{"definition": {"kind": "hosted", "cpu": "1", "memory": "2Gi",
      "container_configuration": {"image": "myregistry.azurecr.io/my-agent:v2"},
      "protocol_versions": [{"protocol": "responses", "version": "1.0.0"}]}}' > created.json
[ "$(code_of "$ENDPOINT/agents/from-image/code:download?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN")" = 409 ]
jq -e '.error.code == "AgentNotCodeBased"' refusal.json

# step: delete one version
curl -sS -X DELETE "$ENDPOINT/agents/$AGENT/versions/2?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" > deleted.json
jq -e '.object == "agent.version.deleted" and .version == "2" and .deleted' deleted.json

# step: an agent with open sessions is not deleted
[ "$(code_of -X DELETE "$ENDPOINT/agents/$AGENT?api-version=$API_VERSION" -H "Authorization: Bearer $TOKEN")" = 409 ]
jq -e '.error.message | contains("active sessions")' refusal.json

# step: delete it with its sessions
curl -sS -X DELETE "$ENDPOINT/agents/$AGENT?api-version=$API_VERSION&force=true" \
    -H "Authorization: Bearer $TOKEN" > deleted.json
jq -e '.object == "agent.deleted" and .deleted' deleted.json

# step: delete an agent and all its versions
curl -sS -X DELETE "$ENDPOINT/agents/from-image?api-version=$API_VERSION" \
    -H "Authorization: Bearer $TOKEN" > deleted.json
jq -e '.object == "agent.deleted" and .deleted' deleted.json
[ "$(code_of "$ENDPOINT/agents/from-image?api-version=$API_VERSION" -H "Authorization: Bearer $TOKEN")" = 404 ]
