/** API groups that Kubernetes itself serves (1.29 to 1.34, and those that earlier releases served). */
export const BUILT_IN_GROUPS: ReadonlySet<string> = new Set([
  "",
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "apiregistration.k8s.io",
  "apps",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "autoscaling",
  "batch",
  "certificates.k8s.io",
  "coordination.k8s.io",
  "discovery.k8s.io",
  "events.k8s.io",
  "extensions",
  "flowcontrol.apiserver.k8s.io",
  "internal.apiserver.k8s.io",
  "networking.k8s.io",
  "node.k8s.io",
  "policy",
  "rbac.authorization.k8s.io",
  "resource.k8s.io",
  "scheduling.k8s.io",
  "storage.k8s.io",
  "storagemigration.k8s.io",
]);

/**
 * The cluster-scoped kinds by API group, separated by spaces; `*` is every kind of the group. The built-in groups are
 * those of `kubectl api-resources --namespaced=false`; the others come from the CustomResourceDefinitions of the
 * projects that own the group. A group that is not listed has namespaced kinds only, as far as is known.
 */
export const CLUSTER_KINDS: Readonly<Record<string, string>> = {
  "": "ComponentStatus Namespace Node PersistentVolume",
  "admissionregistration.k8s.io":
    "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy " +
    "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration",
  "apiextensions.k8s.io": "CustomResourceDefinition",
  "apiregistration.k8s.io": "APIService",
  "authentication.k8s.io": "SelfSubjectReview TokenReview",
  "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
  "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
  "extensions": "PodSecurityPolicy",
  "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
  "internal.apiserver.k8s.io": "StorageVersion",
  "networking.k8s.io": "ClusterCIDR IPAddress IngressClass ServiceCIDR",
  "node.k8s.io": "RuntimeClass",
  "policy": "PodSecurityPolicy",
  "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
  "resource.k8s.io": "DeviceClass DeviceTaintRule ResourceClass ResourceSlice",
  "scheduling.k8s.io": "PriorityClass",
  "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
  "storagemigration.k8s.io": "StorageVersionMigration",

  "metrics.k8s.io": "NodeMetrics",
  "gateway.networking.k8s.io": "GatewayClass",
  "policy.networking.k8s.io": "AdminNetworkPolicy BaselineAdminNetworkPolicy ClusterNetworkPolicy",
  "snapshot.storage.k8s.io": "VolumeSnapshotClass VolumeSnapshotContent",
  "groupsnapshot.storage.k8s.io": "VolumeGroupSnapshotClass VolumeGroupSnapshotContent",
  "nfd.k8s-sigs.io": "NodeFeatureRule",
  "kueue.x-k8s.io": "AdmissionCheck ClusterQueue Cohort MultiKueueCluster MultiKueueConfig ProvisioningRequestConfig " +
    "ResourceFlavor Topology WorkloadPriorityClass",
  "infrastructure.cluster.x-k8s.io":
    "AWSClusterControllerIdentity AWSClusterRoleIdentity AWSClusterStaticIdentity VSphereClusterIdentity",

  "cert-manager.io": "ClusterIssuer",
  "policy.cert-manager.io": "CertificateRequestPolicy",
  "trust.cert-manager.io": "Bundle ClusterBundle",
  "external-secrets.io": "ClusterExternalSecret ClusterPushSecret ClusterSecretStore",
  "generators.external-secrets.io": "ClusterGenerator",
  "spire.spiffe.io": "ClusterFederatedTrustDomain ClusterSPIFFEID ClusterStaticEntry",

  "argoproj.io": "ClusterAnalysisTemplate ClusterWorkflowTemplate",
  "tekton.dev": "ClusterTask",
  "triggers.tekton.dev": "ClusterInterceptor ClusterTriggerBinding",
  "operator.tekton.dev": "*",
  "networking.internal.knative.dev": "ClusterDomainClaim",
  "keda.sh": "ClusterTriggerAuthentication",
  "eventing.keda.sh": "ClusterCloudEventSource",
  "kro.run": "ResourceGraphDefinition",
  "sailoperator.io": "*",
  "configuration.konghq.com": "KongClusterPlugin KongLicense KongVault",

  "cilium.io": "CiliumBGPAdvertisement CiliumBGPClusterConfig CiliumBGPNodeConfig CiliumBGPNodeConfigOverride " +
    "CiliumBGPPeerConfig CiliumBGPPeeringPolicy CiliumCIDRGroup CiliumClusterwideEnvoyConfig " +
    "CiliumClusterwideNetworkPolicy CiliumEgressGatewayPolicy CiliumEndpointSlice CiliumExternalWorkload " +
    "CiliumIdentity CiliumL2AnnouncementPolicy CiliumLoadBalancerIPPool CiliumNode CiliumPodIPPool",
  "crd.projectcalico.org":
    "BGPConfiguration BGPFilter BGPPeer BlockAffinity CalicoNodeStatus ClusterInformation FelixConfiguration " +
    "GlobalNetworkPolicy GlobalNetworkSet HostEndpoint IPAMBlock IPAMConfig IPAMHandle IPPool IPReservation " +
    "KubeControllersConfiguration StagedGlobalNetworkPolicy Tier",
  "projectcalico.org":
    "BGPConfiguration BGPFilter BGPPeer BlockAffinity CalicoNodeStatus ClusterInformation FelixConfiguration " +
    "GlobalNetworkPolicy GlobalNetworkSet HostEndpoint IPAMConfiguration IPPool IPReservation " +
    "KubeControllersConfiguration Profile StagedGlobalNetworkPolicy Tier",
  "operator.tigera.io": "*",
  "crd.antrea.io": "ClusterGroup ClusterNetworkPolicy Egress ExternalIPPool ExternalNode IPPool Tier Traceflow",
  "kubeovn.io": "*",
  "nmstate.io": "*",

  "kyverno.io": "ClusterAdmissionReport ClusterBackgroundScanReport ClusterCleanupPolicy ClusterPolicy " +
    "GlobalContextEntry",
  "policies.kyverno.io": "DeletingPolicy GeneratingPolicy ImageValidatingPolicy MutatingPolicy ValidatingPolicy",
  "reports.kyverno.io": "ClusterEphemeralReport",
  "wgpolicyk8s.io": "ClusterPolicyReport",
  "templates.gatekeeper.sh": "*",
  "constraints.gatekeeper.sh": "*",
  "mutations.gatekeeper.sh": "*",
  "expansion.gatekeeper.sh": "*",
  "externaldata.gatekeeper.sh": "*",
  "syncset.gatekeeper.sh": "*",
  "policies.kubewarden.io": "ClusterAdmissionPolicy ClusterAdmissionPolicyGroup PolicyServer",
  "aquasecurity.github.io": "ClusterComplianceReport ClusterConfigAuditReport ClusterInfraAssessmentReport " +
    "ClusterRbacAssessmentReport ClusterSbomReport ClusterVulnerabilityReport",
  "capsule.clastix.io": "CapsuleConfiguration GlobalTenantResource Tenant",
  "rbacmanager.reactiveops.io": "RBACDefinition",

  "cdi.kubevirt.io": "CDI CDIConfig ObjectTransfer StorageProfile",
  "instancetype.kubevirt.io": "VirtualMachineClusterInstancetype VirtualMachineClusterPreference",
  "networkaddonsoperator.network.kubevirt.io": "*",
  "apps.kruise.io": "NodeImage NodePodProbe ResourceDistribution SidecarSet",
  "scheduling.volcano.sh": "Queue",
  "topology.volcano.sh": "HyperNode",
  "kubeflow.org": "Profile",
  "serving.kserve.io": "ClusterServingRuntime ClusterStorageContainer",
  "nvidia.com": "ClusterPolicy NVIDIADriver",
  "deviceplugin.intel.com": "*",
  "karpenter.sh": "NodeClaim NodeOverlay NodePool",
  "karpenter.k8s.aws": "EC2NodeClass",

  "postgresql.cnpg.io": "ClusterImageCatalog",
  "objectbucket.io": "ObjectBucket",
  "piraeus.io": "*",
  "topolvm.io": "LogicalVolume",

  "apiextensions.crossplane.io": "CompositeResourceDefinition Composition CompositionRevision EnvironmentConfig " +
    "ManagedResourceActivationPolicy ManagedResourceDefinition Usage",
  "pkg.crossplane.io": "*",
  "olm.operatorframework.io": "ClusterCatalog ClusterExtension",
  "operators.coreos.com": "OLMConfig Operator",
  "cluster.open-cluster-management.io": "ManagedCluster ManagedClusterSet",
  "operator.open-cluster-management.io": "ClusterManager Klusterlet",

  "catalog.cattle.io": "ClusterRepo",
  "k3s.cattle.io": "ETCDSnapshotFile",
  "management.cattle.io": "AuthConfig Cluster Feature FleetWorkspace GlobalRole GlobalRoleBinding KontainerDriver " +
    "NodeDriver PodSecurityAdmissionConfigurationTemplate RoleTemplate Setting Token User UserAttribute",

  "config.openshift.io": "*",
  "console.openshift.io": "*",
  "machineconfiguration.openshift.io": "*",
  "oauth.openshift.io": "*",
  "project.openshift.io": "Project",
  "security.openshift.io": "SecurityContextConstraints",
  "user.openshift.io": "*",
};
