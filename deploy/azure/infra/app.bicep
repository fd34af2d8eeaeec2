// The controller: each replica brings the schema up to date before it starts; upgrades take turns.
param location string
param tags object
param image string
param registryServer string
@description('The setting that names the project, or several.')
param watched object
param identityId string
param identityClientId string
param workspaceName string
param subnetId string
param subnetRange string
param databaseSecretUrl string
param replicas int
param allowedNetworks array

var appName = 'foundry-rollouts'
var database = { name: 'FOUNDRY_ROLLOUTS_DATABASE_URL', secretRef: 'database-url' }
// The proxies of the environment, which end TLS: those of its own range, and those of the subnet.
var proxies = '100.64.0.0/10,${subnetRange}'

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource apps 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: 'cae-rollouts'
  location: location
  tags: tags
  properties: {
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: workspace.properties.customerId
        sharedKey: workspace.listKeys().primarySharedKey
      }
    }
    vnetConfiguration: { infrastructureSubnetId: subnetId, internal: false }
    workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }]
  }
}

resource app 'Microsoft.App/containerApps@2025-01-01' = {
  name: appName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    environmentId: apps.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [{ server: registryServer, identity: identityId }]
      secrets: [
        { name: 'database-url', keyVaultUrl: databaseSecretUrl, identity: identityId }
        { name: 'everyone', value: loadTextContent('../../kubernetes/base/everyone.yaml') }
      ]
      ingress: {
        external: true
        targetPort: 8080
        transport: 'http'
        allowInsecure: false
        ipSecurityRestrictions: [
          for (network, index) in allowedNetworks: {
            name: 'allowed-${index}'
            action: 'Allow'
            ipAddressRange: network
          }
        ]
      }
    }
    template: {
      terminationGracePeriodSeconds: 30
      scale: { minReplicas: replicas, maxReplicas: replicas }
      initContainers: [
        {
          name: 'upgrade'
          image: image
          args: ['db', 'upgrade']
          env: [database]
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
        }
      ]
      containers: [
        {
          name: 'controller'
          image: image
          args: ['serve']
          env: [
            database
            { name: 'AZURE_CLIENT_ID', value: identityClientId }
            watched
            { name: 'FOUNDRY_ROLLOUTS_LISTEN', value: '0.0.0.0:8080' }
            { name: 'FOUNDRY_ROLLOUTS_ACCESS', value: 'required' }
            { name: 'FOUNDRY_ROLLOUTS_HOSTS', value: '${appName}.${apps.properties.defaultDomain}' }
            { name: 'FOUNDRY_ROLLOUTS_TRUSTED_PROXIES', value: proxies }
            { name: 'FOUNDRY_ROLLOUTS_LOG_FORMAT', value: 'json' }
          ]
          resources: { cpu: json('0.5'), memory: '1Gi' }
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: 8080 }
              periodSeconds: 2
              timeoutSeconds: 5
              failureThreshold: 30
            }
            {
              type: 'Liveness'
              httpGet: { path: '/healthz', port: 8080 }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: { path: '/readyz', port: 8080 }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
          volumeMounts: [{ volumeName: 'policies', mountPath: '/etc/foundry-rollouts/policies' }]
        }
      ]
      volumes: [
        {
          name: 'policies'
          storageType: 'Secret'
          secrets: [{ secretRef: 'everyone', path: 'everyone.yaml' }]
        }
      ]
    }
  }
}

output name string = app.name
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
