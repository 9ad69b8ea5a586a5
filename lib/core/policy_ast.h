/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of a policy: the syntax tree, its limits, and what the files policy_*.c share.
 * Nothing but these files and their tests includes this.
 *
 * policy_lex.c      bytes -> tokens
 * policy_token.c    the parser's hold on them: variables, lists, recovery
 * policy_parse.c    blocks: the top of a file, layers, settings
 * policy_define.c   statements that name something: define, set
 * policy_authority.c ... authority
 * policy_served.c   ... the keys of authorities that programs of ours serve
 * policy_group.c    groups of authorities, in their own statement and in rules
 * policy_file.c     files: the first one and what it includes; policy_parse itself
 * policy_rule.c     rules: conditions and options
 * policy_cond.c     conditions whose values have a grammar of their own
 * policy_limit.c    how often a rule may match
 * policy_listener.c conditions on the socket that would take the connection
 * policy_country.c  countries of source addresses
 * policy_until.c    how long a rule holds, and a decision
 * policy_settings.c the settings block, from one table
 * policy_addr.c     addresses, prefixes, ranges, sets of them, set files
 * policy_names.c    services and ICMP types by name
 * policy_check.c    names resolved, contradictions found, defaults filled in
 * policy_overlay.c  what was changed at run time, over it all
 * policy_spans.c    ... lists of addresses
 * policy_print.c    canonical text
 * policy_compile.c  the image (core/classify_image.h)
 * policy_util.c     memory, text, diagnostics
 */
#ifndef CORE_POLICY_AST_H
#define CORE_POLICY_AST_H

#include "core/classify.h"
#include "core/policy.h"
#include <stdarg.h>

/* Limits; each has an error of its own. */
#define POLICY_FILE_MAX        (16u << 20) /* bytes of one policy file */
#define POLICY_SETFILE_MAX     (64u << 20) /* bytes of one set file */
#define POLICY_FILES_MAX       1024
#define POLICY_DEPTH_MAX       16 /* files that include each other */
#define POLICY_WORD_MAX        255
#define POLICY_STRING_MAX      4095
#define POLICY_NAME_MAX        31
#define POLICY_DEFINES_MAX     4096
#define POLICY_DEFINE_MAX      1048576 /* words of all variables together */
#define POLICY_LIST_MAX        65536   /* elements of one list in the text */
#define POLICY_ELEMENTS_MAX    4194304 /* of all lists together, variables replaced */
#define POLICY_SETS_MAX        4096
#define POLICY_SET_MAX         1048576 /* elements of one set, files and other sets included */
#define POLICY_SET_TOTAL_MAX   8388608 /* of all sets together */
#define POLICY_SET_DEPTH_MAX   16
#define POLICY_AUTHORITIES_MAX 256
#define POLICY_LAYERS_MAX      64
#define POLICY_RULES_MAX       100000
#define POLICY_TIMEOUT_MAX     (24ull * 3600 * 1000000000)

/* ---------------------------------------------------------------- memory and text ---- */

struct pol_block {
	struct pol_block *next;
	size_t used, size;
	max_align_t mem[];
};

struct pol_arena {
	struct pol_block *head;
};

/* Zeroed; NULL when out of memory. */
void *pol_alloc(struct pol_arena *a, size_t size);
char *pol_strndup(struct pol_arena *a, const char *s, size_t len);
void pol_arena_deinit(struct pol_arena *a);

struct pol_text {
	char *s;
	size_t len, cap;
	bool oom;
};

void pol_text_add(struct pol_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pol_text_addv(struct pol_text *t, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
/* "text" with quotes and backslashes escaped. */
void pol_text_quote(struct pol_text *t, const char *s);
/* At most 60 bytes of s, what is not printable ASCII as '?': for messages. */
#define POL_SHOW_MAX 64
const char *pol_show(const char *s, char buf[POL_SHOW_MAX]);

/* -------------------------------------------------------------------------- tree ---- */

struct pol_loc {
	uint32_t file, line, col, len; /* line and col from 1, in bytes */
};

struct pol_range {
	uint8_t lo[16], hi[16];
	uint8_t family;
	int16_t prefix; /* its length, -1 for a range */
};

enum pol_item_kind { POL_RANGE, POL_REF, POL_FILE };

struct pol_item {
	struct pol_item *next;
	struct pol_loc loc;
	enum pol_item_kind kind;
	struct pol_range range;
	const char *name;    /* of the set, or path of the file */
	struct pol_set *set; /* REF, once resolved */
};

struct pol_items {
	struct pol_item *first, *last;
	uint32_t n;
};

struct pol_v4 {
	uint32_t lo, hi; /* host order */
};

struct pol_v6 {
	uint8_t lo[16], hi[16];
};

/* Intervals; sorted, disjoint and not adjacent after pol_ranges_normalize. */
struct pol_ranges {
	struct pol_v4 *v4;
	struct pol_v6 *v6;
	size_t n4, cap4, n6, cap6;
};

struct pol_set {
	struct pol_set *next;
	const char *name;
	struct pol_loc loc;
	struct pol_items items;
	struct pol_ranges ranges; /* of files at first, and what stands in it after the check */
	struct pol_set **all; /* after the check: the sets that it names, and those that they do */
	uint32_t nall;
	uint32_t mark; /* of the check */
	uint8_t state; /* of the check: 0 new, 1 being resolved, 2 done */
	uint32_t index;
};

/* An address, or a range of them. */
struct pol_addr {
	struct pol_addr *next;
	struct pol_range range;
	uint16_t port; /* 0: none */
};

struct pol_zone {
	struct pol_zone *next;
	const char *name;
	uint32_t weight;
};

/* When the service that an authority of type unit starts is there. */
struct pol_ready {
	uint8_t proto; /* 0: when it was started */
	uint16_t port;
	struct pol_range address;
};

/* What a list says of those whom it does not have. */
enum pol_unlisted { UNLISTED_BY_KIND, UNLISTED_PERMIT, UNLISTED_BLOCK, UNLISTED_CONTINUE };

/* The keys of the kinds that programs of ours serve. */
struct pol_served {
	const char *command, *start, *url, *ca, *header_file, *secrets;
	struct pol_string *headers;
	struct pol_zone *zones;
	struct pol_addr *codes, *servers;
	struct pol_ready ready;
	uint8_t mode;     /* 1: once */
	uint8_t listed;   /* enum pend_verdict */
	uint8_t unlisted; /* enum pol_unlisted */
	uint32_t processes, threshold;
	uint64_t idle_stop_ns, open_ns;
};

struct pol_member {
	const char *name;
	struct pol_loc loc;
	struct pol_authority *authority; /* once checked */
};

/* Of several authorities, none of them a group. */
struct pol_group {
	uint8_t type, need, n;
	struct pol_member member[CLASSIFY_MEMBERS_MAX];
};

enum pol_authority_key {
	AUTH_TYPE,
	AUTH_OF,
	AUTH_ANSWER,
	AUTH_COMMAND,
	AUTH_MODE,
	AUTH_PROCESSES,
	AUTH_ZONES,
	AUTH_CODES,
	AUTH_THRESHOLD,
	AUTH_SERVERS,
	AUTH_LISTED,
	AUTH_UNLISTED,
	AUTH_URL,
	AUTH_CA,
	AUTH_HEADER,
	AUTH_HEADER_FILE,
	AUTH_START,
	AUTH_READY,
	AUTH_IDLE_STOP,
	AUTH_SECRETS,
	AUTH_OPEN,
	AUTH_TIMEOUT,
	AUTH_ON_TIMEOUT,
	AUTH_ON_ABSENT,
	AUTH_ON_ERROR,
	AUTH_MAX_PENDING,
	AUTH_USER,
	AUTH_GROUP,
	AUTH_COUNT
};

struct pol_id; /* below */

struct pol_authority {
	struct pol_authority *next;
	const char *name;
	struct pol_loc loc;
	bool builtin;  /* nobody wrote it: `operator`, or the group of a rule */
	bool broken;   /* an error in it was reported */
	uint32_t seen; /* bits of enum pol_authority_key */
	struct pol_loc key_loc[AUTH_COUNT];
	uint8_t type, answer, on_timeout;
	uint8_t on_absent, on_error; /* enum classify_absent, enum classify_error */
	uint32_t max_pending;
	uint64_t timeout_ns;
	struct pol_id *user, *group;
	struct pol_group of;
	struct pol_served served;
	uint16_t index;
};

enum pol_cond {
	COND_PROTO,
	COND_FAMILY,
	COND_FROM,
	COND_SPORT,
	COND_TO,
	COND_DPORT,
	COND_IN,
	COND_OUT,
	COND_HOOK,
	COND_ICMP_TYPE,
	COND_ICMP_CODE,
	COND_MARK,
	COND_TCP_FLAGS,
	COND_TIME,
	COND_DAY,
	COND_REAUTHORIZE,
	COND_REASON,
	COND_UNTIL,
	COND_COUNTRY,
	/* Of the listener: asked last, the cheapest first. */
	COND_USER,
	COND_CGROUP,
	COND_UNIT,
	COND_GROUP,
	COND_EXECUTABLE,
	COND_COUNT,
};

enum pol_opt {
	OPT_ASK,
	OPT_TIMEOUT,
	OPT_ON_TIMEOUT,
	OPT_WITH,
	OPT_COMPLETE,
	OPT_MODE,
	OPT_LOG,
	OPT_COUNTER,
	OPT_RATE,
	OPT_QUOTA,
	OPT_REMEMBER,
	OPT_COUNT,
};

#define POL_BIT(x) (1u << (x))

#define POL_LISTENER                                                                            \
	(POL_BIT(COND_USER) | POL_BIT(COND_CGROUP) | POL_BIT(COND_UNIT) | POL_BIT(COND_GROUP) | \
	 POL_BIT(COND_EXECUTABLE))

struct pol_bits {
	uint8_t b[32];
};

static inline void pol_bits_add(struct pol_bits *s, unsigned i)
{
	s->b[i / 8] |= (uint8_t)(1u << i % 8);
}

static inline bool pol_bits_has(const struct pol_bits *s, unsigned i)
{
	return s->b[i / 8] >> i % 8 & 1;
}

struct pol_ports {
	struct pol_ports *next;
	uint16_t lo, hi;
};

struct pol_iface {
	struct pol_iface *next;
	const char *name; /* without the '*' */
	bool wild;
};

/* One ICMP type as written: a number, or a name that stands for one type in each protocol. */
struct pol_icmp {
	struct pol_icmp *next;
	const char *name; /* NULL: by number */
	int v4, v6;       /* -1: not in that protocol */
};

/* Users or groups. */
struct pol_id {
	struct pol_id *next;
	uint32_t lo, hi;
	const char *name; /* NULL: by number */
};

/* A path or a pattern. */
struct pol_string {
	struct pol_string *next;
	const char *text;
};

struct pol_country {
	struct pol_country *next;
	struct pol_set *set; /* of the policy's, shared by all that name the country */
};

struct pol_rule {
	struct pol_rule *next;
	struct pol_loc loc;
	struct pol_layer *layer;
	uint8_t action; /* enum classify_action */
	bool is_default;
	bool broken; /* an error in it was reported */

	uint32_t seen, neg; /* bits of enum pol_cond */
	uint32_t any;       /* the same: `from any`, `to any` was said */
	struct pol_loc cond_loc[COND_COUNT];
	struct pol_bits proto, icmp_code;
	uint8_t family;
	uint8_t hooks; /* bits: 1 << NF_INET_... */
	struct pol_items from, to;
	struct pol_ports *sport, *dport;
	struct pol_iface *in, *out;
	struct pol_icmp *icmp;
	uint32_t mark, mark_mask;
	uint8_t tcp_flags, tcp_mask;
	struct pol_ports *time; /* minutes of the day, [lo, hi); lo > hi: over midnight */
	uint8_t days;           /* bits: 1 << 0 is Monday */
	uint8_t reasons;        /* bits: 1 << enum pend_reason */
	uint32_t until;         /* a minute of the day, or since 1970 */
	const char *until_text; /* the latter, as written; else NULL */
	struct pol_country *country;
	struct pol_id *user, *group;
	struct pol_string *executable, *cgroup, *unit;

	uint32_t opts; /* bits of enum pol_opt */
	struct pol_loc opt_loc[OPT_COUNT];
	const char *ask, *counter;
	struct pol_group *group_asked; /* NULL: one authority */
	struct classify_limit limit;
	struct pol_authority *authority; /* once checked, for pend */
	uint64_t timeout_ns;
	uint8_t on_timeout, with, complete, mode;
	uint64_t remember_ns;
	uint8_t remember_scope; /* enum classify_scope */
	bool remember_end;
};

struct pol_layer {
	struct pol_layer *next;
	const char *name;
	struct pol_loc loc;
	uint16_t weight;
	bool has_weight;
	struct pol_rule *rules, *last, *fallback;
	uint32_t n;
};

struct pol_file {
	const char *name;
	char *text; /* until the parse ends */
	size_t len;
	bool one_line; /* places in it are a column */
};

struct policy {
	struct pol_arena arena;
	struct settings settings;
	uint64_t settings_seen;
	struct pol_loc settings_loc[64];
	struct pol_file *files;
	uint32_t nfiles, capfiles;
	struct pol_set *sets, *last_set, **by_name; /* by_name: sorted, of the check */
	struct pol_authority *authorities, *last_authority;
	struct pol_layer *layers, *last_layer;
	struct pol_set *countries; /* their numbers come behind those of `sets` */
	uint32_t nsets, nauthorities, nlayers, nrules, ncountries;
};

/* ----------------------------------------------------------------------- lexer ---- */

enum pol_tok {
	TOK_EOF,
	TOK_WORD,
	TOK_STRING,
	TOK_VAR, /* $name */
	TOK_SET, /* @name */
	TOK_LBRACE,
	TOK_RBRACE,
	TOK_COMMA,
	TOK_SEMI,
	TOK_BANG,
	TOK_EQ,
	TOK_BAD, /* text is the error */
};

struct pol_token {
	enum pol_tok type;
	const char *text; /* WORD, STRING, VAR, SET: its value, NUL-terminated */
	struct pol_loc loc;
	bool bol; /* the first of its line */
};

struct pol_lexer {
	const char *text, *p, *end, *line_start;
	uint32_t file, line;
	bool bol;
	bool counted, balanced; /* pol_lex_balanced() */
};

void pol_lex_init(struct pol_lexer *lx, uint32_t file, const char *text, size_t len);
/* 0 or -ENOMEM. After the end: EOF again and again. */
int pol_lex(struct pol_lexer *lx, struct pol_arena *a, struct pol_token *t);
/* Has every '{' of the text its '}'? Then one that is open is closed further down. */
bool pol_lex_balanced(struct pol_lexer *lx);
/* Is a comma the next thing? */
bool pol_lex_comma(const struct pol_lexer *lx);

/* ---------------------------------------------------------------------- parser ---- */

struct pol_define {
	struct pol_define *next;
	const char *name;
	struct pol_token *tok;
	size_t n;
};

struct pol_parser {
	struct policy *p;
	const struct policy_loader *loader;
	const struct policy_overlay *overlay; /* NULL: none */
	uint32_t overlay_file;                /* of its first rule */
	struct pol_text diag;
	unsigned errors, warnings;
	struct pol_arena tmp; /* tokens */
	struct pol_define *defines;
	uint32_t ndefines, define_tokens, elements;
	bool oom;

	struct pol_lexer lx;
	struct pol_token tok;         /* the next one */
	const struct pol_token *more; /* of a variable, before the lexer goes on */
	size_t nmore;
	struct pol_loc use; /* of that variable */
	unsigned depth;     /* open braces */
	bool in_rules;      /* of a layer: lines may continue rules */
	uint32_t stack[POLICY_DEPTH_MAX];
	unsigned nstack;
};

/* Always false, so that a parse function can return it. */
bool pol_error(struct pol_parser *ps, const struct pol_loc *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void pol_warn(struct pol_parser *ps, const struct pol_loc *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool pol_oom(struct pol_parser *ps); /* false too */
/* Out of memory, or as many errors as anybody reads. */
bool pol_stopped(const struct pol_parser *ps);

/* The word nearest to `word` among those tried; NULL if none is near. */
struct pol_guess {
	const char *word, *best;
	unsigned distance;
};
struct pol_guess pol_guess_for(const char *word);
void pol_guess_try(struct pol_guess *g, const char *candidate);
/* unknown WHAT "word", did you mean "best"? */
bool pol_unknown(struct pol_parser *ps, const struct pol_loc *at, const char *what,
		 const char *word, const char *best);

const struct pol_define *pol_define_find(const struct pol_parser *ps, const char *name);
void pol_advance(struct pol_parser *ps);
bool pol_is(const struct pol_parser *ps, const char *word);
/* Skip the token if it is of that type. */
bool pol_accept(struct pol_parser *ps, enum pol_tok type);
/* "expected WHAT, found ..." unless the token was reported already. */
bool pol_expected(struct pol_parser *ps, const char *what);
/* A blank beside a '/' or '-' has made several words of one. */
bool pol_blank(struct pol_parser *ps, const struct pol_loc *at, char joins);
bool pol_expect(struct pol_parser *ps, enum pol_tok type, const char *what);
/* A word, or a string; NULL after an error. */
const char *pol_value(struct pol_parser *ps, const char *what, struct pol_loc *loc);
const char *pol_word(struct pol_parser *ps, const char *what, struct pol_loc *loc);
const char *pol_string(struct pol_parser *ps, const char *what, struct pol_loc *loc);
/* `;`, which may be left out at the end of a line and before `}`. */
bool pol_end(struct pol_parser *ps, const char *after);
/* After a `}` it is optional everywhere. */
bool pol_block_end(struct pol_parser *ps);
/* Skip to the end of the statement from `start`, of the block whose brace depth is `level`. */
void pol_recover(struct pol_parser *ps, unsigned level, bool leaf, const struct pol_loc *start);
/* Report a `{` without its `}` and go back to the depth it stood at. */
bool pol_unclosed(struct pol_parser *ps, const struct pol_loc *open, unsigned depth);
/* Does a line begin here with a word that begins a statement? */
bool pol_begins_statement(const struct pol_token *t);
/* Inside of a list's braces: such a word may be an element there, and is none of a statement then. */
void pol_in_list(struct pol_parser *ps);
/* One element, or `{` one or more `}`; fn takes one. Lists in lists (of variables) are one. */
typedef bool pol_element_fn(struct pol_parser *ps, void *ctx);
bool pol_list(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what);
/* Braces are required, and may be empty. */
bool pol_braces(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what);
/* ... and commas may be left out. */
bool pol_names(struct pol_parser *ps, pol_element_fn *fn, void *ctx, const char *what);

struct pol_keyword {
	const char *name; /* NULL ends a table */
	int value;
};
/* The value, or -1 after an error. */
int pol_keyword(struct pol_parser *ps, const struct pol_keyword *table, const char *what);
bool pol_number(struct pol_parser *ps, const char *what, uint32_t lo, uint32_t hi, uint32_t *out);
const char *pol_keyword_name(const struct pol_keyword *table, int value);
bool pol_duration(struct pol_parser *ps, const char *what, uint64_t max, uint64_t *out);
bool pol_name_valid(const char *s);

extern const struct pol_keyword pol_verdicts[];  /* enum pend_verdict */
extern const struct pol_keyword pol_blocks[];    /* enum pend_block */
extern const struct pol_keyword pol_releases[];  /* enum pend_release */
extern const struct pol_keyword pol_hooks[];     /* NF_INET_... */
extern const struct pol_keyword pol_authtypes[]; /* enum authority_type */
extern const struct pol_keyword pol_actions[];   /* enum classify_action */

/* Adds a file; takes `text`. UINT32_MAX when out of memory (text is freed then). */
uint32_t pol_file_add(struct policy *p, const char *name, char *text, size_t len);
/* `path` as seen from the file `from`, by text alone; NULL when out of memory. */
char *pol_path(struct pol_arena *a, const char *from, const char *path);

/* policy_define.c: statements, their first word being passed. */
/* A valid name, kept in the policy's memory; NULL after an error. */
const char *pol_new_name(struct pol_parser *ps, const char *what, struct pol_loc *loc);
bool pol_redefined(struct pol_parser *ps, const struct pol_loc *at, const char *what,
		   const char *name, const struct pol_loc *first);
bool pol_parse_define(struct pol_parser *ps, const struct pol_loc *at);
bool pol_parse_set(struct pol_parser *ps, const struct pol_loc *at);

/* policy_authority.c */
bool pol_parse_authority(struct pol_parser *ps, const struct pol_loc *at);
struct pol_authority *pol_authority_find(const struct policy *p, const char *name);
bool pol_authority_add(struct pol_parser *ps, struct pol_authority *a, const struct pol_loc *at);
/* "unknown authority", with the name that was meant perhaps. */
bool pol_authority_unknown(struct pol_parser *ps, const struct pol_loc *at, const char *name);
void pol_check_authorities(struct pol_parser *ps);
void pol_print_authority(const struct pol_authority *a, struct pol_text *t);

/* policy_served.c */
bool pol_parse_served(struct pol_parser *ps, struct pol_authority *a, enum pol_authority_key key);
void pol_check_served(struct pol_parser *ps, struct pol_authority *a);
void pol_print_served(const struct pol_authority *a, struct pol_text *t);
/* The text of a JSON object. */
void pol_served_json(const struct pol_authority *a, struct pol_text *t);

/* policy_group.c */
bool pol_group_is(uint8_t type);
/* "{ a, b }", for a type that was named. */
bool pol_parse_members(struct pol_parser *ps, struct pol_group *g);
/* The number of votes that a quorum needs. */
bool pol_parse_need(struct pol_parser *ps, struct pol_group *g);
/* Behind `ask`: the name of an authority, or `any { a b }`. */
bool pol_parse_ask(struct pol_parser *ps, struct pol_rule *r);
/* All authorities that are no groups have been checked. */
void pol_check_group(struct pol_parser *ps, struct pol_authority *a);
/* The authority that stands for a rule's group; NULL after an error. */
struct pol_authority *pol_group_authority(struct pol_parser *ps, const char *name,
					  const struct pol_group *g, const struct pol_loc *at);

/* policy_parse.c */
enum pol_block_kind { POL_BLOCK_TOP, POL_BLOCK_LAYER };
/* Statements up to the block's `}` or the file's end, neither of which is taken. */
void pol_parse_block(struct pol_parser *ps, enum pol_block_kind block, struct pol_layer *layer);
/* Nothing more of this block follows: its `}`, the file's end, or a `}` was forgotten. */
bool pol_at_block_end(const struct pol_parser *ps);
bool pol_block_close(struct pol_parser *ps, const struct pol_loc *open);

/* policy_file.c: an include, its word being the token. */
bool pol_parse_include(struct pol_parser *ps, enum pol_block_kind block, struct pol_layer *layer);

/* policy_rule.c: one statement of a layer, its first word being the token. */
bool pol_parse_rule(struct pol_parser *ps, struct pol_layer *layer);
bool pol_parse_default(struct pol_parser *ps, struct pol_layer *layer);
/* Does this word begin a condition or an option? */
bool pol_rule_word(const char *word);
void pol_rule_guess(struct pol_guess *g);
/* Tries the actions, and what other firewalls call them. */
void pol_action_guess(struct pol_guess *g);

/* policy_cond.c: the value behind the condition's word */
bool pol_parse_tcp_flags(struct pol_parser *ps, struct pol_rule *r);
/* "08:30" up to `end`; 24:00 is the day's end. -1: no time. */
int pol_minute_parse(const char *s, const char *end);
void pol_print_tcp_flags(const struct pol_rule *r, struct pol_text *t);
bool pol_element_time(struct pol_parser *ps, void *ctx);   /* ctx: struct pol_ports ** */
bool pol_element_day(struct pol_parser *ps, void *ctx);    /* ctx: uint8_t * */
bool pol_element_reason(struct pol_parser *ps, void *ctx); /* ctx: uint8_t * */
void pol_print_time(const struct pol_rule *r, struct pol_text *t);
void pol_print_day(const struct pol_rule *r, struct pol_text *t);
void pol_print_reasons(const struct pol_rule *r, struct pol_text *t);

/* policy_limit.c */
bool pol_parse_rate(struct pol_parser *ps, struct pol_rule *r);
bool pol_parse_quota(struct pol_parser *ps, struct pol_rule *r); /* up to "per source" */
bool pol_at_duration(const struct pol_parser *ps);
void pol_print_limit(const struct pol_rule *r, struct pol_text *t);

/* policy_listener.c: elements */
bool pol_element_user(struct pol_parser *ps, void *ctx);       /* ctx: struct pol_id ** */
bool pol_element_group(struct pol_parser *ps, void *ctx);      /* ctx: struct pol_id ** */
bool pol_element_executable(struct pol_parser *ps, void *ctx); /* ctx: struct pol_string ** */
bool pol_element_cgroup(struct pol_parser *ps, void *ctx);     /* ctx: struct pol_string ** */
bool pol_element_unit(struct pol_parser *ps, void *ctx);       /* ctx: struct pol_string ** */
void pol_print_listener(const struct pol_rule *r, struct pol_text *t);
/* One of them. */
bool pol_parse_id(struct pol_parser *ps, bool group, struct pol_id **out);
void pol_print_id(const struct pol_id *id, struct pol_text *t);

/* policy_country.c */
bool pol_element_country(struct pol_parser *ps, void *ctx); /* ctx: struct pol_country ** */
/* Reads the networks of all that are named. */
void pol_check_countries(struct pol_parser *ps);
void pol_print_country(const struct pol_rule *r, struct pol_text *t);

/* policy_until.c */
bool pol_parse_until(struct pol_parser *ps, struct pol_rule *r);
void pol_check_until(struct pol_parser *ps, const struct pol_rule *r);
void pol_print_until(const struct pol_rule *r, struct pol_text *t);
bool pol_parse_remember(struct pol_parser *ps, struct pol_rule *r);
void pol_print_remember(const struct pol_rule *r, struct pol_text *t);

/* policy_settings.c */
bool pol_parse_setting(struct pol_parser *ps);
void pol_print_settings(const struct policy *p, struct pol_text *t);

/* policy_addr.c */
enum pol_addr_result {
	POL_ADDR_OK,
	POL_ADDR_HOST_BITS,
	POL_ADDR_BAD,
	POL_ADDR_LENGTH,
	POL_ADDR_ORDER
};
enum pol_addr_result pol_range_parse(const char *s, struct pol_range *r);
void pol_range_print(const struct pol_range *r, struct pol_text *t);
bool pol_ranges_add(struct pol_ranges *rs, const struct pol_range *r); /* false: no memory */
bool pol_ranges_union(struct pol_ranges *rs, const struct pol_ranges *more);
void pol_ranges_normalize(struct pol_ranges *rs);
void pol_ranges_deinit(struct pol_ranges *rs);
/* An element of an address list: the token is a word or a @set. */
bool pol_parse_address(struct pol_parser *ps, struct pol_items *items);
bool pol_parse_set_file(struct pol_parser *ps, struct pol_set *set, const char *path,
			const struct pol_loc *at);

/* policy_names.c */
int pol_service_port(const char *name); /* -1 unknown */
const char *pol_service_name(uint16_t port);
void pol_service_guess(struct pol_guess *g);
bool pol_icmp_lookup(const char *name, struct pol_icmp *out);
void pol_icmp_guess(struct pol_guess *g);

/* policy_check.c */
void pol_check(struct pol_parser *ps);

/* policy_overlay.c: before the check, and behind it */
void pol_overlay_rules(struct pol_parser *ps);
void pol_overlay_finish(struct pol_parser *ps);

/* policy_print.c: one line, without the `;` */
void pol_print_rule(const struct pol_rule *r, struct pol_text *t);

#endif
