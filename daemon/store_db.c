/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file, and the decisions in force; see store_db.h. */
#include "daemon/store_db_impl.h"
#include "core/flow.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_ID 0x70656e64 /* "pend" */
#define BUSY_MS        500

#define KEY "rule,scope,family,protocol,source,source_port,dest,dest_port"

#define DECISION                                                                   \
	"INTO decision(" KEY ",verdict,reason,ends,since,until,layer,text,by,why)" \
	"VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)"

static const char schema[] =
	"CREATE TABLE decision(rule INTEGER NOT NULL,scope INTEGER NOT NULL,family INTEGER NOT NULL,"
	"protocol INTEGER NOT NULL,source BLOB NOT NULL,source_port INTEGER NOT NULL,dest BLOB NOT NULL,"
	"dest_port INTEGER NOT NULL,verdict INTEGER NOT NULL,reason INTEGER NOT NULL,ends INTEGER NOT NULL,"
	"since INTEGER NOT NULL,until INTEGER NOT NULL,layer TEXT NOT NULL,text TEXT NOT NULL,"
	"by TEXT NOT NULL,why TEXT NOT NULL,PRIMARY KEY(" KEY "))WITHOUT ROWID;"
	"CREATE INDEX decision_until ON decision(until);"
	"CREATE TABLE set_change(id INTEGER PRIMARY KEY,name TEXT NOT NULL,action INTEGER NOT NULL,"
	"since INTEGER NOT NULL,until INTEGER NOT NULL,uid INTEGER NOT NULL,spans BLOB NOT NULL,"
	"by TEXT NOT NULL,why TEXT NOT NULL);"
	"CREATE TABLE rule(id INTEGER PRIMARY KEY,hash INTEGER NOT NULL UNIQUE,layer TEXT NOT NULL,"
	"text TEXT NOT NULL,file TEXT NOT NULL,line INTEGER NOT NULL);"
	"CREATE TABLE history(id INTEGER PRIMARY KEY,time INTEGER NOT NULL,context INTEGER NOT NULL,"
	"family INTEGER NOT NULL,protocol INTEGER NOT NULL,source BLOB NOT NULL,"
	"source_port INTEGER NOT NULL,dest BLOB NOT NULL,dest_port INTEGER NOT NULL,interface TEXT,"
	"rule INTEGER,state INTEGER NOT NULL,verdict INTEGER NOT NULL,reason INTEGER NOT NULL,by TEXT,"
	"why TEXT,pended INTEGER NOT NULL,authority TEXT);"
	"CREATE INDEX history_time ON history(time);"
	"CREATE INDEX history_source ON history(source);"
	"CREATE INDEX history_rule ON history(rule)WHERE rule IS NOT NULL;";

/* What makes a file of version N one of N + 1. */
static const char *const upgrades[STORE_DB_VERSION] = {
	[1] = "CREATE INDEX history_rule ON history(rule)WHERE rule IS NOT NULL;",
};

static const char *const statements[SQL_STATEMENTS] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_DECISION] = "INSERT OR REPLACE " DECISION,
	[SQL_DECISION_NEW] =
		"INSERT " DECISION "ON CONFLICT(" KEY ")DO UPDATE SET verdict=excluded.verdict,"
		"reason=excluded.reason,ends=excluded.ends,since=excluded.since,"
		"until=excluded.until,layer=excluded.layer,text=excluded.text,by=excluded.by,"
		"why=excluded.why WHERE excluded.since>decision.since",
	[SQL_DROP] =
		"DELETE FROM decision WHERE rule=?1 AND scope=?2 AND family=?3 AND protocol=?4 "
		"AND source=?5 AND source_port=?6 AND dest=?7 AND dest_port=?8",
	[SQL_FORGET] =
		"DELETE FROM decision WHERE(?1=0 OR rule=?1)AND(?2=0 OR(family=?2 AND source "
		"BETWEEN ?3 AND ?4))",
	[SQL_LOAD] = "SELECT " KEY ",verdict,reason,ends,since,until,layer,text,by,why "
		     "FROM decision WHERE until>?1",
	[SQL_ENDED] = "DELETE FROM decision WHERE(" KEY ")IN(SELECT " KEY
		      " FROM decision WHERE until<=?1 LIMIT ?2)",
	[SQL_RULE_ADD] =
		"INSERT OR IGNORE INTO rule(hash,layer,text,file,line)VALUES(?1,?2,?3,?4,?5)",
	[SQL_RULE_FIND] = "SELECT id FROM rule WHERE hash=?1",
	[SQL_EVENT] =
		"INSERT INTO history(time,context,family,protocol,source,source_port,dest,dest_port,"
		"interface,rule,state,verdict,reason,by,why,pended,authority)"
		"VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
	[SQL_QUERY] =
		"SELECT h.id,h.time,h.context,h.family,h.protocol,h.source,h.source_port,h.dest,"
		"h.dest_port,h.interface,h.state,h.verdict,h.reason,h.by,h.why,h.pended,h.authority,"
		"r.layer,r.text,r.file,r.line FROM history h LEFT JOIN rule r ON r.id=h.rule "
		"WHERE(?1=0 OR(h.family=?1 AND h.source BETWEEN ?2 AND ?3))AND(?4=0 OR h.time>=?4)"
		"AND(?5=0 OR h.time<?5)AND(?6=''OR instr(r.text,?6)>0)AND(?7=''OR h.authority=?7 OR h.by=?7)"
		"AND(?8<0 OR h.verdict=?8)AND(?9=0 OR h.id<?9)ORDER BY h.id DESC LIMIT ?10",
	[SQL_OLD] =
		"DELETE FROM history WHERE id IN(SELECT id FROM history WHERE time<?1 LIMIT ?2)",
	[SQL_COUNT] = "SELECT(SELECT max(id)FROM history)-(SELECT min(id)FROM history)+1",
	[SQL_RULE_TIDY] = "DELETE FROM rule WHERE id IN(SELECT r.id FROM rule r WHERE NOT EXISTS"
			  "(SELECT 1 FROM history h WHERE h.rule=r.id)LIMIT ?1)",
	[SQL_MANY] = "DELETE FROM history WHERE id IN(SELECT id FROM history ORDER BY id LIMIT ?1)",
	[SQL_SET_ADD] = "INSERT INTO set_change(name,action,since,until,uid,spans,by,why)"
			"VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
	[SQL_SET_CLEAR] = "DELETE FROM set_change WHERE name=?1",
	[SQL_SET_LOAD] = "SELECT name,action,since,until,uid,spans,by,why FROM set_change "
			 "WHERE until=0 OR until>?1 ORDER BY id",
	[SQL_SET_ENDED] = "DELETE FROM set_change WHERE until>0 AND until<=?1",
};

/* ---- errors ---- */

int store_sql_errno(const struct store_db *db)
{
	int code = sqlite3_extended_errcode(db->sql), system = sqlite3_system_errno(db->sql);

	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_IOERR:
		return system == ENOSPC || system == EDQUOT ? -ENOSPC : -EIO;
	default:
		return -EIO;
	}
}

const char *store_db_error(const struct store_db *db)
{
	return sqlite3_errmsg(db->sql);
}

int store_sql_run(struct store_db *db, enum store_sql which)
{
	int code = sqlite3_step(db->stmt[which]);
	int r = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : store_sql_errno(db);

	sqlite3_reset(db->stmt[which]);
	sqlite3_clear_bindings(db->stmt[which]);
	return r;
}

/* ---- values ---- */

static size_t addr_len(uint8_t family)
{
	return family == FLOW_V4 ? 4 : 16;
}

void store_sql_text(sqlite3_stmt *s, int at, const char *text)
{
	sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

void store_sql_addr(sqlite3_stmt *s, int at, const uint8_t addr[16], uint8_t family)
{
	sqlite3_bind_blob(s, at, addr, (int)addr_len(family), SQLITE_TRANSIENT);
}

void store_sql_get_addr(sqlite3_stmt *s, int at, uint8_t family, uint8_t out[16])
{
	const void *blob = sqlite3_column_blob(s, at);

	memset(out, 0, 16);
	if (blob && sqlite3_column_bytes(s, at) == (int)addr_len(family))
		memcpy(out, blob, addr_len(family));
}

const char *store_sql_get_text(sqlite3_stmt *s, int at)
{
	const char *text = (const char *)sqlite3_column_text(s, at);

	return text ? text : "";
}

void store_sql_range(sqlite3_stmt *s, int lo, int hi, const uint8_t source[16], uint8_t family,
		     uint8_t prefix_len)
{
	uint8_t first[16], last[16];

	memcpy(first, source, 16);
	flow_addr_mask(first, family, prefix_len);
	memcpy(last, first, 16);
	for (size_t bit = prefix_len; bit < 8 * addr_len(family); bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	store_sql_addr(s, lo, first, family);
	store_sql_addr(s, hi, last, family);
}

/* ---- the file ---- */

static int number(sqlite3 *sql, const char *pragma, int64_t *out)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(sql, pragma, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return code == SQLITE_ROW ? 0 : -EIO;
}

/* From nothing (0) or an older version to this one: all of it, or nothing of it. */
static enum store_open make_schema(sqlite3 *sql, int64_t from)
{
	char text[128];
	int code = sqlite3_exec(sql, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	snprintf(text, sizeof(text), "PRAGMA user_version=%d;PRAGMA application_id=%d;COMMIT",
		 STORE_DB_VERSION, APPLICATION_ID);
	if (code == SQLITE_OK && !from)
		code = sqlite3_exec(sql, schema, NULL, NULL, NULL);
	for (int64_t v = from; code == SQLITE_OK && v && v < STORE_DB_VERSION; v++)
		code = sqlite3_exec(sql, upgrades[v], NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(sql, text, NULL, NULL, NULL);
	return code == SQLITE_OK ? STORE_OPEN_OK : STORE_OPEN_FAILED;
}

/* Ours, of this version; a new file becomes that, and an older one too. */
static enum store_open check_version(sqlite3 *sql, const char *path, struct err *e)
{
	int64_t version = 0, id = 0, tables = 0;

	if (number(sql, "PRAGMA user_version", &version) ||
	    number(sql, "PRAGMA application_id", &id) ||
	    number(sql, "SELECT count(*)FROM sqlite_schema", &tables))
		return STORE_OPEN_FAILED;
	if (!version && !id && !tables)
		return make_schema(sql, 0);
	if (id != APPLICATION_ID) {
		err_set(e, -EBADMSG, "%s is a database, but none of pend's", path);
		return STORE_OPEN_NEWER;
	}
	if (version == STORE_DB_VERSION)
		return STORE_OPEN_OK;
	if (version > 0 && version < STORE_DB_VERSION)
		return make_schema(sql, version);
	err_set(e, -EPROTO,
		"%s has version %lld, and this pendd knows version %d: it was written by a newer one",
		path, (long long)version, STORE_DB_VERSION);
	return version > STORE_DB_VERSION ? STORE_OPEN_NEWER : STORE_OPEN_CORRUPT;
}

static enum store_open failure(const struct store_db *db, const char *path, struct err *e)
{
	int r = db->sql ? store_sql_errno(db) : -ENOMEM;

	if (!e->text[0])
		err_set(e, r, "cannot use %s: %s", path,
			db->sql ? sqlite3_errmsg(db->sql) : strerror(-r));
	return r == -EBADMSG ? STORE_OPEN_CORRUPT : STORE_OPEN_FAILED;
}

static int prepare(struct store_db *db)
{
	for (int i = 0; i < SQL_STATEMENTS; i++)
		if (sqlite3_prepare_v3(db->sql, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->stmt[i], NULL) != SQLITE_OK)
			return -EIO;
	return 0;
}

/* SQLite would make it by the umask. */
static int make_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(e, -errno, "cannot open %s", path);
	r = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? -EINVAL : 0;
	close(fd);
	return r ? err_set(e, r, "%s is no file", path) : 0;
}

static enum store_open open_file(struct store_db *db, const char *path, struct err *e)
{
	const char *name = *path ? path : ":memory:";
	enum store_open o;
	int64_t sound = 0;

	if (*path && make_file(path, e) < 0)
		return STORE_OPEN_FAILED;
	if (sqlite3_open_v2(name, &db->sql,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
				    SQLITE_OPEN_EXRESCODE,
			    NULL) != SQLITE_OK)
		return failure(db, path, e);
	sqlite3_busy_timeout(db->sql, BUSY_MS);
	if (sqlite3_exec(db->sql,
			 "PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;"
			 "PRAGMA temp_store=MEMORY;PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
			 "PRAGMA journal_size_limit=16777216",
			 NULL, NULL, NULL) != SQLITE_OK)
		return failure(db, path, e);
	o = check_version(db->sql, path, e);
	if (o == STORE_OPEN_NEWER)
		return o;
	/* cheap, and it looks at every page that is read at start anyway */
	if (o == STORE_OPEN_OK && prepare(db) == 0 &&
	    number(db->sql, "SELECT count(*)FROM decision", &sound) == 0)
		return STORE_OPEN_OK;
	if (o == STORE_OPEN_CORRUPT)
		return o;
	o = failure(db, path, e);
	/* a schema that is not ours, in a file that says it is */
	return (sqlite3_errcode(db->sql) & 0xff) == SQLITE_ERROR ? STORE_OPEN_CORRUPT : o;
}

enum store_open store_db_open(struct store_db **out, const char *path, struct err *e)
{
	struct store_db *db = calloc(1, sizeof(*db));
	enum store_open o;

	if (!db) {
		err_set(e, -ENOMEM, "out of memory");
		return STORE_OPEN_FAILED;
	}
	o = open_file(db, path, e);
	db->gone = true; /* not known */
	if (o == STORE_OPEN_OK)
		*out = db;
	else
		store_db_close(db);
	return o;
}

void store_db_close(struct store_db *db)
{
	if (!db)
		return;
	for (int i = 0; i < SQL_STATEMENTS; i++)
		sqlite3_finalize(db->stmt[i]);
	sqlite3_close(db->sql);
	free(db);
}

int store_db_aside(const char *path, char *name, size_t cap)
{
	static const char *const more[] = {"-wal", "-shm"};
	time_t now = time(NULL);
	char stamp[32], from[512], to[512];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(name, cap, "%s.corrupt-%s", path, stamp);
	if (rename(path, name) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s%s", path, more[i]);
		snprintf(to, sizeof(to), "%.480s%s", name, more[i]);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int store_db_begin(struct store_db *db)
{
	return store_sql_run(db, SQL_BEGIN);
}

int store_db_commit(struct store_db *db)
{
	return store_sql_run(db, SQL_COMMIT);
}

void store_db_rollback(struct store_db *db)
{
	/* SQLite may have done so by itself */
	if (!sqlite3_get_autocommit(db->sql))
		store_sql_run(db, SQL_ROLLBACK);
	memset(db->rule, 0, sizeof(db->rule));
}

uint64_t store_db_size(struct store_db *db)
{
	int64_t pages = 0, size = 0;

	if (number(db->sql, "PRAGMA page_count", &pages) ||
	    number(db->sql, "PRAGMA page_size", &size))
		return 0;
	return (uint64_t)(pages * size);
}

/* ---- decisions ---- */

static void bind_key(sqlite3_stmt *s, const struct remembered_key *k)
{
	sqlite3_bind_int64(s, 1, (int64_t)k->rule);
	sqlite3_bind_int(s, 2, k->scope);
	sqlite3_bind_int(s, 3, k->family);
	sqlite3_bind_int(s, 4, k->protocol);
	store_sql_addr(s, 5, k->source, k->family);
	sqlite3_bind_int(s, 6, k->source_port);
	store_sql_addr(s, 7, k->dest, k->family);
	sqlite3_bind_int(s, 8, k->dest_port);
}

int store_db_decision(struct store_db *db, const struct store_decision *d)
{
	enum store_sql which = d->if_new ? SQL_DECISION_NEW : SQL_DECISION;
	sqlite3_stmt *s = db->stmt[which];

	bind_key(s, &d->e.k);
	sqlite3_bind_int(s, 9, d->e.v.verdict);
	sqlite3_bind_int(s, 10, d->e.v.reason);
	sqlite3_bind_int(s, 11, d->e.v.end);
	sqlite3_bind_int64(s, 12, d->since_ms);
	sqlite3_bind_int64(s, 13, d->until_ms);
	store_sql_text(s, 14, d->layer);
	store_sql_text(s, 15, d->rule);
	store_sql_text(s, 16, d->by);
	store_sql_text(s, 17, d->why);
	return store_sql_run(db, which);
}

int store_db_drop(struct store_db *db, const struct remembered_key *k)
{
	bind_key(db->stmt[SQL_DROP], k);
	return store_sql_run(db, SQL_DROP);
}

int store_db_forget(struct store_db *db, const struct store_which *w)
{
	sqlite3_stmt *s = db->stmt[SQL_FORGET];

	sqlite3_bind_int64(s, 1, (int64_t)w->rule);
	sqlite3_bind_int(s, 2, w->family);
	store_sql_range(s, 3, 4, w->source, w->family ? w->family : FLOW_V4, w->prefix_len);
	return store_sql_run(db, SQL_FORGET);
}

static uint16_t small(sqlite3_stmt *s, int at, int max)
{
	int64_t v = sqlite3_column_int64(s, at);

	return v < 0 || v > max ? (uint16_t)max : (uint16_t)v;
}

/* A file is not believed: false, it is no decision. */
static bool read_decision(sqlite3_stmt *s, struct store_decision *d)
{
	struct remembered_key *k = &d->e.k;

	memset(d, 0, sizeof(*d));
	k->rule = (uint64_t)sqlite3_column_int64(s, 0);
	k->scope = (uint8_t)small(s, 1, 255);
	k->family = (uint8_t)small(s, 2, 255);
	k->protocol = (uint8_t)small(s, 3, 255);
	if (k->family != FLOW_V4 && k->family != FLOW_V6)
		return false;
	store_sql_get_addr(s, 4, k->family, k->source);
	k->source_port = small(s, 5, UINT16_MAX);
	store_sql_get_addr(s, 6, k->family, k->dest);
	k->dest_port = small(s, 7, UINT16_MAX);
	d->e.v.verdict = (uint8_t)small(s, 8, 255);
	d->e.v.reason = (uint8_t)small(s, 9, 255);
	d->e.v.end = sqlite3_column_int(s, 10) == 1;
	d->since_ms = sqlite3_column_int64(s, 11);
	d->until_ms = sqlite3_column_int64(s, 12);
	d->layer = store_sql_get_text(s, 13);
	d->rule = store_sql_get_text(s, 14);
	d->by = store_sql_get_text(s, 15);
	d->why = store_sql_get_text(s, 16);
	return k->scope <= CLASSIFY_SCOPE_FLOW && d->since_ms >= 0 && d->until_ms > d->since_ms &&
	       d->until_ms - d->since_ms <= (int64_t)(CLASSIFY_REMEMBER_MAX / 1000000) &&
	       (d->e.v.verdict == PEND_VERDICT_PERMIT || d->e.v.verdict == PEND_VERDICT_BLOCK);
}

int store_db_load(struct store_db *db, int64_t now_ms,
		  bool (*fn)(void *ctx, const struct store_decision *d), void *ctx)
{
	sqlite3_stmt *s = db->stmt[SQL_LOAD];
	struct store_decision d;
	int code, r;

	sqlite3_bind_int64(s, 1, now_ms);
	while ((code = sqlite3_step(s)) == SQLITE_ROW)
		if (read_decision(s, &d) && !fn(ctx, &d))
			break;
	r = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_sql_errno(db);
	sqlite3_reset(s);
	return r;
}
