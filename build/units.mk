# What the module is made of. The list of units is build/layers; a unit's files are src/NAME.c and
# src/NAME_*.c. RP_PURE are those that compile without httpd's headers.

RP_UNITS      := $(shell awk '!/^\#/ && NF { print $$1 }' build/layers)
RP_PURE_UNITS := $(shell awk '!/^\#/ && $$2 == "pure" { print $$1 }' build/layers)

rp_files   = $(wildcard src/$(1).c src/$(1)_*.c)
RP_SOURCES := $(sort $(wildcard mod_revproxy.c) $(foreach u,$(RP_UNITS),$(call rp_files,$(u))))
RP_PURE    := $(sort $(foreach u,$(RP_PURE_UNITS),$(call rp_files,$(u))))

# Libraries beyond what httpd itself brings (APR, APR-util); libm for rp_lbm_hash, OpenSSL (mod_ssl's
# library) for rp_conn's TLS sessions and for the reasons of failed handshakes.
RP_LIBS := -lssl -lcrypto -lm
