/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * In a build for coverage only (VARIANT=coverage): a child of httpd may end by a signal or by
 * _exit(), and gcov writes its counts at exit. So they are written when the child's pool goes, and
 * twice a second, for children that are killed.
 */

#include <pthread.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void write_counts(void)
{
    pthread_mutex_lock(&lock);
    __gcov_dump();
    __gcov_reset();
    pthread_mutex_unlock(&lock);
}

static void *write_often(void *unused)
{
    for (;;) {
        usleep(500000);
        write_counts();
    }
    return unused;
}

static void start_writer(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, write_often, NULL) == 0) {
        pthread_detach(thread);
    }
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(NULL, NULL, start_writer);
}
