#!/bin/sh
# Starts the broker. Same path and contract as /etc/kafka/docker/run of the official image, as far as this project uses it:
# KAFKA_* become server.properties ("___" is "-", "__" is "_", "_" is "."), CLUSTER_ID, KAFKA_HEAP_OPTS, KAFKA_OPTS,
# /mnt/shared/config/server.properties. @JVM@, @LOG@ and @CLASSPATH@ are filled in when the image is built.
CONF=/opt/kafka/config/server.properties
ENVIRONMENT=/tmp/environment.properties
awk 'BEGIN {
  split("VERSION HEAP_OPTS LOG4J_OPTS OPTS JMX_OPTS JVM_PERFORMANCE_OPTS GC_LOG_OPTS LOG4J_ROOT_LOGLEVEL LOG4J_LOGGERS", names, " ")
  for (i in names) skip["KAFKA_" names[i]] = 1
  for (name in ENVIRON) if (name ~ /^KAFKA_/ && !(name in skip)) {
    key = tolower(substr(name, 7)); gsub(/_/, ".", key); gsub(/\.\.\./, "-", key); gsub(/\.\./, "_", key)
    print key "=" ENVIRON[name]
  }
}' > $ENVIRONMENT
if [ -f /mnt/shared/config/server.properties ]; then cat /mnt/shared/config/server.properties $ENVIRONMENT > $CONF
elif [ -s $ENVIRONMENT ]; then cp $ENVIRONMENT $CONF
else cp /etc/kafka/docker/server.properties $CONF; fi

# What Kafka's format tool writes, without starting a JVM for it.
STORAGE=$(sed -n 's/^log\.dirs=//p' $CONF | tail -1)
NODE=$(sed -n 's/^node\.id=//p' $CONF | tail -1)
if [ ! -f "$STORAGE/meta.properties" ]; then
  mkdir -p "$STORAGE" && cp /opt/kafka/bootstrap.checkpoint "$STORAGE/" || exit 1
  DIRECTORY=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)
  printf 'version=1\ncluster.id=%s\nnode.id=%s\ndirectory.id=%s\n' \
    "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" "$NODE" "$DIRECTORY" > "$STORAGE/meta.part" || exit 1
  mv "$STORAGE/meta.part" "$STORAGE/meta.properties" || exit 1
fi
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} @JVM@ @LOG@ $KAFKA_OPTS -cp @CLASSPATH@ kafka.Kafka $CONF
