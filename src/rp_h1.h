/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/**
 * @file rp_h1.h
 * @brief HTTP/1 responses from backends: head, framing verdict, chunked decoder
 *
 * Owns: the grammar of RFC 9112 as spoken by backends, and every decision on
 *       what is refused.
 * Does not: read, allocate, log, or know httpd; pick an HTTP status (rp_err does).
 * Threads: no shared state. One object is used by one thread at a time.
 * Memory: only what the caller gives. Spans point into the caller's buffers and
 *         live as long as those.
 * Blocks: never. All entry points are resumable with any split of the input, and
 *         linear in the number of bytes.
 *
 * Use: zero an rp_h1_scan_t, call rp_h1_head_scan() after each read until it is
 * no longer RP_H1_MORE, then rp_h1_head_parse() on the head (an array of
 * scan.fields elements is always large enough), then rp_h1_framing(). An interim
 * head (1xx) is followed by another head: start again behind body_at.
 */

#ifndef RP_H1_H
#define RP_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "rp_span.h"

typedef enum {
    RP_H1_OK,
    RP_H1_MORE, /**< all bytes are fine so far, the end is not there yet */
    RP_H1_BAD   /**< never acceptable, whatever follows; see the error member */
} rp_h1_result_t;

/** One value per distinct cause; rp_h1_error_text() has the words. */
typedef enum {
    RP_H1_E_NONE = 0,
    RP_H1_E_NOT_HTTP,        /**< the first bytes are no "HTTP/1.x" (HTTP/0.9, garbage) */
    RP_H1_E_VERSION,         /**< HTTP, but not major version 1 with one minor digit */
    RP_H1_E_STATUS,          /**< the status is not three digits from 100 to 999 */
    RP_H1_E_BLANK_LINES,     /**< more than one empty line before the status line */
    RP_H1_E_LINE_MAX,        /**< a line (with its folds) is longer than line_max */
    RP_H1_E_HEAD_MAX,        /**< the head is longer than head_max */
    RP_H1_E_FIELDS_MAX,      /**< more field lines than fields_max, or than cap */
    RP_H1_E_NO_COLON,        /**< a line without colon, with RP_H1_BADHEADER_ERROR */
    RP_H1_E_NAME,            /**< the field name is empty or no token */
    RP_H1_E_NAME_SPACE,      /**< whitespace between field name and colon */
    RP_H1_E_VALUE,           /**< control character (NUL, bare CR, ...) in a value */
    RP_H1_E_FOLD,            /**< a folded line with no field before it */
    RP_H1_E_TRUNCATED,       /**< the bytes end inside the head */
    RP_H1_E_LENGTH,          /**< Content-Length is not 1*DIGIT */
    RP_H1_E_LENGTH_OVERFLOW, /**< Content-Length does not fit in 63 bits */
    RP_H1_E_LENGTH_CONFLICT, /**< Content-Length lines that differ */
    RP_H1_E_CODING,          /**< Transfer-Encoding is not exactly "chunked" */
    RP_H1_E_CODING_10,       /**< Transfer-Encoding in an HTTP/1.0 response */
    RP_H1_E_CHUNK_SIZE,      /**< the chunk size is not 1*HEXDIG */
    RP_H1_E_CHUNK_OVERFLOW,  /**< more than 16 digits, or more than 63 bits */
    RP_H1_E_CHUNK_EXT,       /**< control character in a chunk extension */
    RP_H1_E_CHUNK_EXT_MAX,   /**< chunk extensions out of proportion to the payload */
    RP_H1_E_CHUNK_LINE_END,  /**< a chunk line that does not end in CRLF */
    RP_H1_E_CHUNK_DATA_END,  /**< no CRLF where the chunk size says the data ends */
    RP_H1_E_TRAILER,         /**< malformed trailer line */
    RP_H1_E_TRAILER_MAX,     /**< trailer line, section or count over its limit */
    RP_H1_E_COUNT
} rp_h1_error_t;

/** ProxyBadHeader: what becomes of a line without colon among the fields. */
typedef enum {
    RP_H1_BADHEADER_ERROR,    /**< the response is bad */
    RP_H1_BADHEADER_IGNORE,   /**< the line and its folds are dropped */
    RP_H1_BADHEADER_STARTBODY /**< that line and all that follows are the body */
} rp_h1_badheader_t;

/** Limits; 0 means none. */
typedef struct {
    size_t line_max;     /**< bytes in a line without its line end; folds count together */
    size_t head_max;     /**< bytes in a head with all line ends; in a trailer section too */
    unsigned fields_max; /**< field lines in a head, dropped ones included; in trailers too */
    rp_h1_badheader_t bad_header;
} rp_h1_limits_t;

typedef struct {
    rp_span_t name;  /**< a token, as the backend wrote it */
    rp_span_t value; /**< without OWS at its ends, folds joined, no control bytes but HTAB */
} rp_h1_field_t;

/** Resumable scan of a head that is still arriving. All zero at the start. */
typedef struct {
    size_t seen;       /**< bytes looked at */
    size_t line_start; /**< offset of the line that is still incomplete */
    size_t joined;     /**< bytes of the last field line with its folds so far */
    unsigned fields;   /**< field lines so far (not folds): an upper bound of nfields */
    bool blank;        /**< the one tolerated empty line was there */
    bool status_seen;  /**< the status line is complete and good */
    rp_h1_error_t error;
    size_t error_at; /**< offset in the buffer */
} rp_h1_scan_t;

/**
 * Looks for the end of a response head in the bytes that have arrived so far.
 * Only new bytes are looked at, so a slow sender costs no more than a fast one.
 * Line ends are CRLF or LF alone (RFC 9112 2.2); one empty line may come first.
 *
 * @param s         state, zeroed before the first call
 * @param buf       all bytes since the first one of this head; may move between calls
 * @param len       number of bytes in buf; only grows
 * @param lim       limits, the same in each call
 * @param head_len  set with RP_H1_OK: length of the head with its empty line; with
 *                  RP_H1_BADHEADER_STARTBODY possibly without one, ending where the
 *                  line without colon starts
 * @return RP_H1_OK, RP_H1_MORE, or RP_H1_BAD as soon as it is known that the bytes
 *         are not the start of an HTTP/1.x response, have a bad status line, or
 *         are over a limit. The fields themselves are judged by rp_h1_head_parse().
 */
rp_h1_result_t rp_h1_head_scan(rp_h1_scan_t *s, const char *buf, size_t len,
                               const rp_h1_limits_t *lim, size_t *head_len);

/**
 * Says what the end of input means after rp_h1_head_scan() answered RP_H1_MORE.
 * Parameters as there.
 *
 * @return RP_H1_OK with *head_len only with RP_H1_BADHEADER_STARTBODY, where the
 *         unfinished last line has no colon and so starts the body; else RP_H1_BAD
 *         (RP_H1_E_TRUNCATED, RFC 9112 8)
 */
rp_h1_result_t rp_h1_head_scan_eof(rp_h1_scan_t *s, const char *buf, size_t len,
                                   const rp_h1_limits_t *lim, size_t *head_len);

/** A parsed head. The caller sets fields and cap, rp_h1_head_parse() the rest. */
typedef struct {
    int minor;         /**< HTTP/1.minor, 0 to 9; above 1 is to be treated as 1 */
    int status;        /**< 100 to 999 */
    rp_span_t reason;  /**< as sent; may be empty */
    bool reason_unfit; /**< it had control bytes and is given as empty: use the standard one */
    rp_h1_field_t *fields;
    unsigned nfields;
    unsigned cap;   /**< elements in fields */
    size_t body_at; /**< offset of the first byte behind the head; == head_len when
                         head_len comes from rp_h1_head_scan() */
    rp_h1_error_t error;
    size_t error_at; /**< offset in buf */
} rp_h1_head_t;

/**
 * Parses one complete head in place (RFC 9112 4 and 5). Names, values and the reason
 * are NUL-terminated in place and contain no NUL, so they serve as C strings. A fold
 * loses its line break and keeps its whitespace. A line "HTTP/d.d ddd..." without
 * colon among the fields is dropped, as mod_proxy does.
 *
 * @param h         fields and cap set by the caller
 * @param buf       the head; rewritten, never behind body_at. Useless after RP_H1_BAD
 * @param head_len  from rp_h1_head_scan(), which has checked the byte limits
 * @param lim       only bad_header is used
 * @return RP_H1_OK or RP_H1_BAD with h->error and h->error_at
 */
rp_h1_result_t rp_h1_head_parse(rp_h1_head_t *h, char *buf, size_t head_len,
                                const rp_h1_limits_t *lim);

typedef enum {
    RP_H1_BODY_NONE,       /**< answer to HEAD, 1xx, 204, 304 */
    RP_H1_BODY_LENGTH,     /**< exactly length bytes, may be 0 */
    RP_H1_BODY_CHUNKED,    /**< rp_h1_chunk_next() finds the end */
    RP_H1_BODY_UNTIL_CLOSE /**< the end of the connection is the end */
} rp_h1_body_t;

/** Where the body ends, and what follows from the framing fields. */
typedef struct {
    rp_h1_body_t body;
    uint64_t length;      /**< the declared Content-Length, at most INT64_MAX, if has_length */
    bool has_length;      /**< a valid Content-Length, on HEAD and 304 too; not with drop_length */
    bool repeated_length; /**< it came in several equal lines: pass one on (RFC 9110 8.6) */
    bool drop_length;     /**< Content-Length must not be passed on: Transfer-Encoding beside
                               it, or a 1xx or 204 (RFC 9110 8.6) */
    bool persistent;      /**< the connection may be used again once the body was read whole;
                               no meaning for a 1xx */
    rp_h1_error_t error;
} rp_h1_framing_t;

/**
 * Decides how the body is framed (RFC 9112 6.3) and whether the connection may be
 * kept (RFC 9112 9.3: never for HTTP/1.0). Does not judge a 101: what follows that
 * is no HTTP/1, and the caller knows whether it asked for it.
 *
 * @param f                 result, also the error
 * @param h                 a parsed head
 * @param request_was_head  the request's method was HEAD
 * @return RP_H1_OK, or RP_H1_BAD: answer 502, close the connection (RFC 9112 6.3)
 */
rp_h1_result_t rp_h1_framing(rp_h1_framing_t *f, const rp_h1_head_t *h, bool request_was_head);

/**
 * Finds a field by name, ASCII case ignored.
 *
 * @param h      a parsed head
 * @param name   NUL-terminated
 * @param start  index to start from, for walking over several lines of one name
 * @return its index, or h->nfields if there is none
 */
unsigned rp_h1_field_find(const rp_h1_head_t *h, const char *name, unsigned start);

/**
 * Takes the next element off a comma-separated list of tokens (RFC 9110 5.6.1):
 * Connection, Upgrade, Transfer-Encoding. Empty elements are skipped, OWS is cut off
 * both ends. Every comma separates, also within quotes: these lists have no strings.
 *
 * @param list     what is left of the value; advanced
 * @param element  the element, at least one byte; not necessarily a token
 * @return false at the end of the list
 */
bool rp_h1_list_next(rp_span_t *list, rp_span_t *element);

/** Whether n bytes are the same, the case of ASCII letters ignored. */
bool rp_h1_is_same(const char *a, const char *b, size_t n);

/**
 * Whether a span equals a NUL-terminated ASCII word, case ignored. Inline, because each head takes
 * a hundred of these, and nearly all end with the lengths; a constant word's is known to the compiler.
 */
static inline bool rp_h1_span_is(rp_span_t span, const char *word)
{
    return span.n == strlen(word) && rp_h1_is_same(span.p, word, span.n);
}

/** Whether a list value has the element token, ASCII case ignored. */
bool rp_h1_value_has_token(rp_span_t value, const char *token);

/** Whether any line of the field name has the list element token. */
bool rp_h1_head_has_token(const rp_h1_head_t *h, const char *name, const char *token);

/** Whether the bytes are a token (RFC 9110 5.6.2): at least one, tchar only. */
bool rp_h1_is_token(rp_span_t span);

/** Whether the bytes may stand in a field value: no control byte but HTAB. */
bool rp_h1_is_value(rp_span_t span);

/**
 * Called for each complete valid trailer field. The spans are NUL-terminated, live
 * in the scratch buffer and die on return. A trailer is never a header: the receiver
 * decides what to store, and must not merge it into the head (RFC 9110 6.5).
 */
typedef void rp_h1_trailer_fn(void *ctx, rp_span_t name, rp_span_t value);

/** The chunked decoder's state; opaque to callers but for error. */
typedef struct {
    int state;
    rp_h1_error_t error;
    uint64_t size;      /**< of the chunk being announced, then what is left of it */
    uint64_t payload;   /**< payload bytes so far */
    uint64_t ext_bytes; /**< bytes of chunk extensions so far */
    size_t line;        /**< bytes in the current chunk-size or trailer line */
    size_t trailer_bytes;
    unsigned digits;   /**< hex digits in the current size */
    unsigned trailers; /**< trailer lines so far */
    rp_h1_limits_t lim;
    rp_h1_trailer_fn *on_trailer;
    void *ctx;
    char *scratch;
    size_t scratch_size;
    size_t name_len; /**< the name lies at the start of scratch, then a NUL, then the value */
    size_t used;     /**< bytes used in scratch */
} rp_h1_chunk_t;

typedef enum {
    RP_H1_CHUNK_DATA, /**< *data is payload; call again */
    RP_H1_CHUNK_MORE, /**< everything was consumed */
    RP_H1_CHUNK_END,  /**< *pos is just behind the message */
    RP_H1_CHUNK_BAD   /**< close the connection; see the error member */
} rp_h1_chunk_result_t;

/**
 * Prepares the decoder for one body (RFC 9112 7.1).
 *
 * @param c    state
 * @param lim  line_max bounds a chunk-size line and a trailer line; head_max the
 *             trailer section, and by how much extensions may outweigh the payload;
 *             fields_max the number of trailers. Copied
 */
void rp_h1_chunk_init(rp_h1_chunk_t *c, const rp_h1_limits_t *lim);

/**
 * Asks for trailer fields; without this call they are checked and dropped.
 *
 * @param c        an initialised decoder
 * @param fn       receiver
 * @param ctx      passed to fn
 * @param scratch  holds one trailer line; must live as long as the decoder
 * @param size     its size. A line that needs more, two bytes of NUL included, is BAD
 */
void rp_h1_chunk_on_trailer(rp_h1_chunk_t *c, rp_h1_trailer_fn *fn, void *ctx, char *scratch,
                            size_t size);

/**
 * Decodes on. The input may be split anywhere; nothing of it is kept or copied but
 * an unfinished trailer line.
 *
 * @param c     state
 * @param buf   input
 * @param len   bytes in buf
 * @param pos   offset of the first byte to look at, 0 for a fresh buffer; advanced
 * @param data  set with RP_H1_CHUNK_DATA: payload within buf, at least one byte
 * @return see rp_h1_chunk_result_t; END and BAD are final
 */
rp_h1_chunk_result_t rp_h1_chunk_next(rp_h1_chunk_t *c, const char *buf, size_t len, size_t *pos,
                                      rp_span_t *data);

/**
 * Payload bytes of the current chunk that are still to come, 0 between chunks. As
 * many may be moved past the decoder (splice) and reported with rp_h1_chunk_skip().
 */
uint64_t rp_h1_chunk_pending(const rp_h1_chunk_t *c);

/** Reports n payload bytes, at most rp_h1_chunk_pending(), as moved by other means. */
void rp_h1_chunk_skip(rp_h1_chunk_t *c, uint64_t n);

/** What was wrong, as a part of a log line: lower case, no full stop. Never NULL. */
const char *rp_h1_error_text(rp_h1_error_t error);

#endif /* RP_H1_H */
