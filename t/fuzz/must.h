/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/* The one way a fuzz target says that something is wrong: where and what, then a crash. */
#ifndef RP_MUST_H
#define RP_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
