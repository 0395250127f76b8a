#include "rp_shm_int.h"

#include <string.h>

#include "apr_strings.h"

/* More looks than a writer of eight words can outlast, unless it died. */
#define LOOKS 1000

void rp_shm_read_words(const rp_shm_words_t *from, char text[RP_SHM_TEXT])
{
    apr_uint64_t word[RP_SHM_WORDS];
    apr_uint32_t before, after;
    int looks;
    size_t i;

    for (looks = 0; looks < LOOKS; looks++) {
        before = __atomic_load_n(&from->version, __ATOMIC_ACQUIRE);
        for (i = 0; i < RP_SHM_WORDS; i++) {
            word[i] = __atomic_load_n(&from->word[i], __ATOMIC_ACQUIRE);
        }
        after = __atomic_load_n(&from->version, __ATOMIC_RELAXED);
        if (before == after && before % 2 == 0) {
            memcpy(text, word, RP_SHM_TEXT);
            text[RP_SHM_TEXT - 1] = '\0';
            return;
        }
    }
    text[0] = '\0';
}

void rp_shm_fill_text(char to[RP_SHM_TEXT], const char *text)
{
    memset(to, 0, RP_SHM_TEXT);
    apr_cpystrn(to, text, RP_SHM_TEXT);
}

void rp_shm_write_words(rp_shm_words_t *to, const char *text)
{
    apr_uint64_t word[RP_SHM_WORDS];
    apr_uint32_t odd = __atomic_load_n(&to->version, __ATOMIC_RELAXED) | 1;
    size_t i;

    rp_shm_fill_text((char *)word, text);
    __atomic_store_n(&to->version, odd, __ATOMIC_RELEASE);
    for (i = 0; i < RP_SHM_WORDS; i++) {
        __atomic_store_n(&to->word[i], word[i], __ATOMIC_RELEASE);
    }
    __atomic_store_n(&to->version, odd + 1, __ATOMIC_RELEASE);
}
