#include "rp_tunnel_int.h"

#define OPCODE_BITS 0x0fu
#define OPCODE_CLOSE 0x8u
#define MASK_BIT 0x80u
#define LENGTH_BITS 0x7fu
#define LENGTH_16 126u
#define LENGTH_64 127u

/* Bytes of the length beyond the seven bits in the second byte. */
static unsigned get_length_bytes(const rp_frames_t *f)
{
    switch (f->head[1] & LENGTH_BITS) {
    case LENGTH_16:
        return 2;
    case LENGTH_64:
        return 8;
    default:
        return 0;
    }
}

static unsigned get_head_bytes(const rp_frames_t *f)
{
    return 2 + get_length_bytes(f) + (f->head[1] & MASK_BIT ? 4 : 0);
}

static apr_uint64_t get_payload(const rp_frames_t *f)
{
    unsigned i, n = get_length_bytes(f);
    apr_uint64_t length = n ? 0 : f->head[1] & LENGTH_BITS;

    for (i = 0; i < n; i++) {
        length = length << 8 | f->head[2 + i];
    }
    return length;
}

static void end_head(rp_frames_t *f)
{
    f->got = 0;
    f->left = get_payload(f);
    f->is_closed = f->is_closed || (f->head[0] & OPCODE_BITS) == OPCODE_CLOSE;
    /* RFC 6455 5.2: the most significant bit is 0. */
    f->is_known = f->left <= APR_INT64_MAX;
}

void rp_frames_follow(rp_frames_t *f, const char *data, apr_size_t n)
{
    while (n > 0 && f->is_known) {
        if (f->left) {
            apr_size_t skip = f->left < n ? (apr_size_t)f->left : n;

            f->left -= skip;
            data += skip;
            n -= skip;
            continue;
        }
        f->head[f->got++] = (unsigned char)*data++;
        n--;
        if (f->got >= 2 && f->got == get_head_bytes(f)) {
            end_head(f);
        }
    }
}

void rp_frames_skip(rp_frames_t *f, apr_size_t n)
{
    if (f->is_known) {
        f->left -= n;
    }
}

bool rp_frames_can_insert(const rp_frames_t *f)
{
    return f->is_known && !f->is_closed && f->got == 0 && f->left == 0;
}
