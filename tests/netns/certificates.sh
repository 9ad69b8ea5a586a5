# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Certificates for the kernel tests, in $WORK.
#
#     ca_make own                         # own.pem, a CA
#     cert_make web own IP:192.0.2.2      # web.pem and web.key, signed by it
#     cert_make old own IP:192.0.2.2 -1   # one that has ended

command -v openssl >/dev/null || skip_all "no openssl"

ca_make() # name
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:TRUE -keyout "$WORK/$1.key" -out "$WORK/$1.pem" 2>/dev/null ||
		bail "no CA"
}

cert_make() # name ca subject-alternative-name [days]
{
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$WORK/$1.key" \
		-out "$WORK/$1.csr" 2>/dev/null &&
		openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/$2.pem" -CAkey "$WORK/$2.key" -set_serial "0x$RANDOM" \
			-days "${4:-1}" -extfile <(echo "subjectAltName=$3") -out "$WORK/$1.pem" 2>/dev/null ||
		bail "no certificate $1"
}
