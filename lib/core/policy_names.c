/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services and ICMP types by name. The table is built in (IANA's names) so that a policy
 * means the same on every host whatever its /etc/services says.
 */
#include "core/policy_ast.h"
#include <string.h>

struct service {
	const char *name;
	uint16_t port;
};

/* The first name of a port is the one that is printed. */
static const struct service services[] = {
	{"ftp-data", 20},
	{"ftp", 21},
	{"ssh", 22},
	{"telnet", 23},
	{"smtp", 25},
	{"time", 37},
	{"whois", 43},
	{"tacacs", 49},
	{"domain", 53},
	{"dns", 53},
	{"bootps", 67},
	{"dhcp", 67},
	{"bootpc", 68},
	{"tftp", 69},
	{"gopher", 70},
	{"finger", 79},
	{"http", 80},
	{"www", 80},
	{"kerberos", 88},
	{"pop3", 110},
	{"sunrpc", 111},
	{"auth", 113},
	{"nntp", 119},
	{"ntp", 123},
	{"epmap", 135},
	{"netbios-ns", 137},
	{"netbios-dgm", 138},
	{"netbios-ssn", 139},
	{"imap", 143},
	{"snmp", 161},
	{"snmptrap", 162},
	{"bgp", 179},
	{"irc", 194},
	{"ldap", 389},
	{"https", 443},
	{"microsoft-ds", 445},
	{"smb", 445},
	{"kpasswd", 464},
	{"submissions", 465},
	{"smtps", 465},
	{"isakmp", 500},
	{"syslog", 514},
	{"printer", 515},
	{"rip", 520},
	{"dhcpv6-client", 546},
	{"dhcpv6", 547},
	{"rtsp", 554},
	{"submission", 587},
	{"ipp", 631},
	{"ldaps", 636},
	{"domain-s", 853},
	{"rsync", 873},
	{"ftps-data", 989},
	{"ftps", 990},
	{"imaps", 993},
	{"pop3s", 995},
	{"socks", 1080},
	{"openvpn", 1194},
	{"ms-sql-s", 1433},
	{"ms-sql-m", 1434},
	{"radius", 1812},
	{"radius-acct", 1813},
	{"mqtt", 1883},
	{"nfs", 2049},
	{"docker", 2375},
	{"docker-s", 2376},
	{"git", 9418},
	{"iscsi", 3260},
	{"mysql", 3306},
	{"rdp", 3389},
	{"ms-wbt-server", 3389},
	{"nut", 3493},
	{"svn", 3690},
	{"ipsec-nat-t", 4500},
	{"sip", 5060},
	{"sips", 5061},
	{"xmpp-client", 5222},
	{"xmpp-server", 5269},
	{"mdns", 5353},
	{"llmnr", 5355},
	{"postgresql", 5432},
	{"amqps", 5671},
	{"amqp", 5672},
	{"vnc", 5900},
	{"winrm", 5985},
	{"winrm-s", 5986},
	{"redis", 6379},
	{"ircs-u", 6697},
	{"http-alt", 8080},
	{"https-alt", 8443},
	{"mqtts", 8883},
	{"prometheus", 9090},
	{"memcache", 11211},
	{"mongodb", 27017},
	{"wireguard", 51820},
};

#define NSERVICES (sizeof(services) / sizeof(services[0]))

int pol_service_port(const char *name)
{
	size_t i;

	for (i = 0; i < NSERVICES; i++)
		if (!strcmp(services[i].name, name))
			return services[i].port;
	return -1;
}

const char *pol_service_name(uint16_t port)
{
	size_t i;

	for (i = 0; i < NSERVICES; i++)
		if (services[i].port == port)
			return services[i].name;
	return NULL;
}

void pol_service_guess(struct pol_guess *g)
{
	size_t i;

	for (i = 0; i < NSERVICES; i++)
		pol_guess_try(g, services[i].name);
}

/* RFC 792, 950, 1256, 4443, 4861; -1: that protocol has no such type. */
static const struct pol_icmp icmp_types[] = {
	{.name = "echo-request", .v4 = 8, .v6 = 128},
	{.name = "echo-reply", .v4 = 0, .v6 = 129},
	{.name = "destination-unreachable", .v4 = 3, .v6 = 1},
	{.name = "time-exceeded", .v4 = 11, .v6 = 3},
	{.name = "parameter-problem", .v4 = 12, .v6 = 4},
	{.name = "packet-too-big", .v4 = -1, .v6 = 2},
	{.name = "source-quench", .v4 = 4, .v6 = -1},
	{.name = "redirect", .v4 = 5, .v6 = 137},
	{.name = "router-advertisement", .v4 = 9, .v6 = 134},
	{.name = "router-solicitation", .v4 = 10, .v6 = 133},
	{.name = "timestamp-request", .v4 = 13, .v6 = -1},
	{.name = "timestamp-reply", .v4 = 14, .v6 = -1},
	{.name = "neighbour-solicitation", .v4 = -1, .v6 = 135},
	{.name = "neighbour-advertisement", .v4 = -1, .v6 = 136},
};

#define NICMP (sizeof(icmp_types) / sizeof(icmp_types[0]))

bool pol_icmp_lookup(const char *name, struct pol_icmp *out)
{
	size_t i;

	for (i = 0; i < NICMP; i++) {
		if (strcmp(icmp_types[i].name, name))
			continue;
		*out = icmp_types[i];
		return true;
	}
	return false;
}

void pol_icmp_guess(struct pol_guess *g)
{
	size_t i;

	for (i = 0; i < NICMP; i++)
		pol_guess_try(g, icmp_types[i].name);
}
