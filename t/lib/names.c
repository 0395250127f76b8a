/* Preloaded into httpd by RevProxy::Names: getaddrinfo as a file says. Each line there is a
 * name and its numeric addresses; the word "slow" there takes a second. Other names go to the resolver. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Each part is a list of one allocation per element, as freeaddrinfo takes them. */
static void append(struct addrinfo **list, struct addrinfo *part)
{
    while (*list) {
        list = &(*list)->ai_next;
    }
    *list = part;
}

static int look_up_all(lookup_fn *real, char *addresses, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res)
{
    char *last, *address;

    *res = NULL;
    for (address = strtok_r(addresses, " \n", &last); address; address = strtok_r(NULL, " \n", &last)) {
        struct addrinfo *part;

        if (!strcmp(address, "slow")) {
            sleep(1);
        }
        else if (real(address, service, hints, &part) == 0) {
            append(res, part);
        }
    }
    return *res ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    lookup_fn *real = (lookup_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *file = getenv("RP_NAMES");
    FILE *in = file && node ? fopen(file, "re") : NULL;
    char line[512];

    while (in && fgets(line, sizeof(line), in)) {
        char *space = strchr(line, ' ');

        if (space && (size_t)(space - line) == strlen(node) && !strncmp(line, node, strlen(node))) {
            fclose(in);
            return look_up_all(real, space, service, hints, res);
        }
    }
    if (in) {
        fclose(in);
    }
    return real(node, service, hints, res);
}
