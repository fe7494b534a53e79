#!/bin/sh
# Lets a standby with the password stream from this server; run once, when the primary's data is made.
set -e
echo 'host replication all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
