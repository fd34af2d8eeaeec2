// The controller's image is pulled with its identity.
param registry string
param principalId string

// AcrPull
var pull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource images 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registry
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: images
  name: guid(images.id, principalId, pull)
  properties: {
    roleDefinitionId: pull
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
