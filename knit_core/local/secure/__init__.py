"""Kerberos and TLS of the embedded cluster: `knit local up --kerberos --tls`."""
