#include "rp_conf_int.h"

#include <errno.h>
#include <stdlib.h>

#define LONGEST_WORD 32

const char *rp_conf_parse_number(const char *text, apr_int64_t *value)
{
    char *end;

    if (!apr_isdigit(text[text[0] == '-'])) {
        return "is no whole number";
    }
    errno = 0;
    *value = apr_strtoi64(text, &end, 10);
    if (errno != 0) {
        return "is out of range";
    }
    return *end == '\0' ? NULL : "has something behind the number";
}

/* Microseconds of a unit's name, 0 for an unknown one. */
static apr_interval_time_t unit_of(const char *name)
{
    static const struct {
        const char *name;
        apr_interval_time_t time;
    } units[] = {
        {"ms", APR_TIME_C(1000)},       {"s", APR_USEC_PER_SEC},
        {"sec", APR_USEC_PER_SEC},      {"mi", 60 * APR_USEC_PER_SEC},
        {"min", 60 * APR_USEC_PER_SEC}, {"h", 3600 * APR_USEC_PER_SEC},
    };
    size_t i;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (!ap_cstr_casecmp(name, units[i].name)) {
            return units[i].time;
        }
    }
    return 0;
}

const char *rp_conf_parse_time(const char *text, apr_interval_time_t unit,
                               apr_interval_time_t *value)
{
    apr_int64_t number;
    char *end;

    if (!apr_isdigit(text[0])) {
        return "is no time";
    }
    errno = 0;
    number = apr_strtoi64(text, &end, 10);
    if (*end != '\0') {
        unit = unit_of(end);
    }
    if (unit == 0) {
        return "has no known unit (ms, s, mi, h)";
    }
    if (errno != 0 || number > APR_INT64_MAX / unit) {
        return "is out of range";
    }
    *value = number * unit;
    return NULL;
}

bool rp_conf_parse_flag(const char *text, bool *value)
{
    *value = !ap_cstr_casecmp(text, "on");
    return *value || !ap_cstr_casecmp(text, "off");
}

static int min3(int a, int b, int c)
{
    int min = a < b ? a : b;

    return min < c ? min : c;
}

/* Edit distance (insert, delete, replace), letters in any case. */
static int distance(const char *a, const char *b)
{
    int row[LONGEST_WORD + 1];
    int i, j, diagonal, above;
    int nb = (int)strlen(b);

    if (nb > LONGEST_WORD) {
        return nb;
    }
    for (j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (i = 1; a[i - 1]; i++) {
        diagonal = row[0];
        row[0] = i;
        for (j = 1; j <= nb; j++) {
            above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1,
                          diagonal + (apr_tolower(a[i - 1]) != apr_tolower(b[j - 1])));
            diagonal = above;
        }
    }
    return row[nb];
}

const char *rp_conf_nearest(const char *text, const char *const *words)
{
    const char *best = NULL;
    size_t n = strlen(text);
    int least = n > 8 ? 4 : n > 4 ? 3 : 2; /* exclusive: more than a third wrong is another word */
    int d;

    if (n > LONGEST_WORD) {
        return NULL;
    }
    for (; *words; words++) {
        d = distance(text, *words);
        if (d < least) {
            least = d;
            best = *words;
        }
    }
    return best;
}

bool rp_conf_is_same_name(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);

    na -= na > 0 && a[na - 1] == '/';
    nb -= nb > 0 && b[nb - 1] == '/';
    return na == nb && !ap_cstr_casecmpn(a, b, na);
}
