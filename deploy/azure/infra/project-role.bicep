// The controller reads, changes and calls the agents of one project.
param account string
param project string
param principalId string

// Foundry User
var useAgents = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '53ca6127-db72-4b80-b1b0-d745d6d5456d')

resource foundry 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: account

  resource agents 'projects' existing = {
    name: project
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: foundry::agents
  name: guid(foundry::agents.id, principalId, useAgents)
  properties: {
    roleDefinitionId: useAgents
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
