// The controller on Azure Container Apps, in a resource group of its own.
targetScope = 'subscription'

@description('Names the resource group; another name is another installation.')
@minLength(1)
@maxLength(40)
param environmentName string

param location string

@description('Whoever deploys: reads the password of the database again the next time.')
param deployerId string = ''

@description('The image with its release, in the registry below: REGISTRY.azurecr.io/foundry-rollouts:RELEASE.')
param image string

param registryName string
param registryResourceGroup string

param foundryAccount string
param foundryProject string
param foundryResourceGroup string

@description('Several projects in the place of the one above, each as { name, account, project, resourceGroup }: agents are called name/agent.')
param projects array = []

@secure()
param databasePassword string

@description('Replicas share the work; one of them may go at any time.')
@minValue(1)
@maxValue(10)
param replicas int = 2

@description('The networks that may reach the API, as 203.0.113.0/24; all while there is none. Everybody is asked for a token.')
param allowedNetworks array = []

var tags = { 'azd-env-name': environmentName }
var watched = empty(projects)
  ? [{ name: 'one', account: foundryAccount, project: foundryProject, resourceGroup: foundryResourceGroup }]
  : projects
var endpoints = toObject(
  watched,
  each => each.name,
  each => { endpoint: 'https://${each.account}.services.ai.azure.com/api/projects/${each.project}' }
)
var suffix = uniqueString(subscription().id, environmentName, location)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module shared 'shared.bicep' = {
  scope: group
  name: 'shared'
  params: {
    location: location
    tags: tags
    suffix: suffix
    deployerId: deployerId
  }
}

module network 'network.bicep' = {
  scope: group
  name: 'network'
  params: {
    location: location
    tags: tags
    suffix: suffix
  }
}

module database 'database.bicep' = {
  scope: group
  name: 'database'
  params: {
    location: location
    tags: tags
    suffix: suffix
    subnetId: network.outputs.databaseSubnetId
    dnsZoneId: network.outputs.dnsZoneId
    keyVaultName: shared.outputs.keyVaultName
    password: databasePassword
  }
}

module projectRoles 'project-role.bicep' = [
  for (each, index) in watched: {
    scope: resourceGroup(each.resourceGroup)
    name: 'project-role-${index}-${suffix}'
    params: {
      account: each.account
      project: each.project
      principalId: shared.outputs.identityPrincipalId
    }
  }
]

module registryRole 'registry-role.bicep' = {
  scope: resourceGroup(registryResourceGroup)
  name: 'registry-role-${suffix}'
  params: {
    registry: registryName
    principalId: shared.outputs.identityPrincipalId
  }
}

module app 'app.bicep' = {
  scope: group
  name: 'app'
  params: {
    location: location
    tags: tags
    image: image
    registryServer: '${registryName}.azurecr.io'
    watched: empty(projects)
      ? { name: 'FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT', value: items(endpoints)[0].value.endpoint }
      : { name: 'FOUNDRY_ROLLOUTS_PROJECTS', value: string(endpoints) }
    identityId: shared.outputs.identityId
    identityClientId: shared.outputs.identityClientId
    workspaceName: shared.outputs.workspaceName
    subnetId: network.outputs.appsSubnetId
    subnetRange: network.outputs.appsRange
    databaseSecretUrl: database.outputs.secretUrl
    replicas: replicas
    allowedNetworks: allowedNetworks
  }
  dependsOn: [registryRole, projectRoles]
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = shared.outputs.keyVaultName
output AZURE_CONTAINER_APP_NAME string = app.outputs.name
output FOUNDRY_ROLLOUTS_SERVER string = app.outputs.url
