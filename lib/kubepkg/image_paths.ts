/**
 * Fields of custom resources that name an image, by `group` or `group/Kind`: paths with dots, `[]` for every item of a
 * list and `*` for every value of an object. These fields hold nothing but images, so that a short name (`postgres:16`)
 * counts here.
 *
 * Containers, sidecars and volumes are found without this table, and so is any field `image` whose value is a complete
 * image name.
 */
export const IMAGE_PATHS: Readonly<Record<string, readonly string[]>> = {
  // Prometheus operator
  "monitoring.coreos.com/Prometheus": ["spec.image", "spec.thanos.image"],
  "monitoring.coreos.com/PrometheusAgent": ["spec.image"],
  "monitoring.coreos.com/Alertmanager": ["spec.image"],
  "monitoring.coreos.com/ThanosRuler": ["spec.image"],
  // Longhorn
  "longhorn.io/BackingImageManager": ["spec.image"],
  "longhorn.io/EngineImage": ["spec.image"],
  "longhorn.io/InstanceManager": ["spec.image"],
  "longhorn.io/ShareManager": ["spec.image"],
  // Databases
  "acid.zalan.do/postgresql": ["spec.dockerImage", "spec.connectionPooler.dockerImage"],
  "acid.zalan.do/OperatorConfiguration": [
    "configuration.docker_image",
    "configuration.connection_pooler.connection_pooler_image",
    "configuration.logical_backup.logical_backup_docker_image",
  ],
  "postgresql.cnpg.io/Cluster": ["spec.imageName"],
  "postgresql.cnpg.io/ClusterImageCatalog": ["spec.images[].image"],
  "postgresql.cnpg.io/ImageCatalog": ["spec.images[].image"],
  "mysql.oracle.com/InnoDBCluster": ["spec.image"],
  "k8s.mariadb.com/MariaDB": ["spec.image", "spec.metrics.exporter.image", "spec.galera.agent.image"],
  "mongodb.com/MongoDB": ["spec.image"],
  "psmdb.percona.com/PerconaServerMongoDB": ["spec.image", "spec.backup.image", "spec.pmm.image"],
  "pxc.percona.com/PerconaXtraDBCluster": ["spec.*.image"],
  "pgv2.percona.com/PerconaPGCluster": ["spec.image", "spec.*.image", "spec.*.*.image"],
  "postgres-operator.crunchydata.com/PostgresCluster": [
    "spec.image",
    "spec.backups.pgbackrest.image",
    "spec.*.*.image",
  ],
  "redis.redis.opstreelabs.in": ["spec.kubernetesConfig.image", "spec.redisExporter.image", "spec.initContainer.image"],
  "databases.spotahome.com/RedisFailover": ["spec.redis.image", "spec.sentinel.image", "spec.redis.exporter.image"],
  "rabbitmq.com/RabbitmqCluster": ["spec.image"],
  "cassandra.datastax.com/CassandraDatacenter": ["spec.serverImage", "spec.configBuilderImage"],
  // Elastic
  "agent.k8s.elastic.co": ["spec.image"],
  "apm.k8s.elastic.co": ["spec.image"],
  "beat.k8s.elastic.co": ["spec.image"],
  "elasticsearch.k8s.elastic.co": ["spec.image"],
  "enterprisesearch.k8s.elastic.co": ["spec.image"],
  "kibana.k8s.elastic.co": ["spec.image"],
  "logstash.k8s.elastic.co": ["spec.image"],
  "maps.k8s.elastic.co": ["spec.image"],
  // Strimzi
  "kafka.strimzi.io": ["spec.image", "spec.*.image", "spec.*.*.image"],
  // Observability
  "jaegertracing.io/Jaeger": ["spec.*.image"],
  "opentelemetry.io/OpenTelemetryCollector": ["spec.image"],
  "opentelemetry.io/Instrumentation": ["spec.*.image"],
  // Knative
  "caching.internal.knative.dev/Image": ["spec.image"],
  // OpenKruise
  "apps.kruise.io/ImageListPullJob": ["spec.images[]"],
  "apps.kruise.io/ImagePullJob": ["spec.image"],
  // Argo CD
  "argoproj.io/ArgoCD": ["spec.image"],
  // k3s
  "helm.cattle.io/HelmChart": ["spec.jobImage"],
  // Rook, Crossplane
  "ceph.rook.io/CephCluster": ["spec.cephVersion.image"],
  "pkg.crossplane.io": ["spec.package"],
  // Big data
  "flink.apache.org/FlinkDeployment": ["spec.image"],
  "sparkoperator.k8s.io": ["spec.image", "spec.template.image", "spec.driver.image", "spec.executor.image"],
};

/**
 * Fields of custom resources that hold containers under a name of their own, by API group: each is a container or a list
 * of them.
 */
export const CONTAINER_FIELDS: Readonly<Record<string, readonly string[]>> = {
  "argoproj.io": ["container", "script", "sidecars"],
  "tekton.dev": ["sidecars", "stepTemplate", "steps"],
  "numaflow.numaproj.io": ["container", "sidecars"],
  "sparkoperator.k8s.io": ["sidecars"],
};
