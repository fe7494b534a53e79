#!/bin/sh
# Copies the primary at its first start, then runs as its standby.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chown postgres "$PGDATA"
  chmod 700 "$PGDATA"
  PGPASSWORD=$POSTGRES_PASSWORD su postgres -c \
    'pg_basebackup --host="$PRIMARY" --username="$POSTGRES_USER" --pgdata="$PGDATA" --checkpoint=fast --wal-method=stream --write-recovery-conf --slot=standby --create-slot'
fi
exec docker-entrypoint.sh postgres -c hot_standby=on
