/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Runs a fuzz target over corpus directories without libFuzzer: compile it together
 * with one *_fuzz.c and give the directories as arguments. Prints TAP, one test per
 * directory. A finding aborts the program, so the plan is not fulfilled.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Returns 0 unless the file cannot be read whole. */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(size + 1);
    int failed = 1;

    if (file != NULL && bytes != NULL && fread(bytes, 1, size, file) == size) {
        /* An exact allocation, so that a sanitizer sees reads behind the input. */
        uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
        bytes = exact != NULL ? exact : bytes;
        LLVMFuzzerTestOneInput(bytes, size);
        failed = 0;
    }
    free(bytes);
    if (file != NULL) {
        fclose(file);
    }
    return failed;
}

/* Returns the number of files replayed, or -1 where one could not be read. */
static int replay_dir(const char *dir)
{
    char path[4096];
    struct stat info;
    struct dirent *entry;
    int files = 0;
    DIR *d = opendir(dir);

    while (d != NULL && files >= 0 && (entry = readdir(d)) != NULL) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(path) || stat(path, &info) != 0) {
            files = -1;
        }
        else if (S_ISREG(info.st_mode)) {
            printf("# %s\n", path);
            fflush(stdout);
            files = replay_file(path, (size_t)info.st_size) == 0 ? files + 1 : -1;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return files;
}

int main(int argc, char **argv)
{
    int failures = 0;

    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        int files = replay_dir(argv[i]);
        failures += files > 0 ? 0 : 1;
        printf("%sok %d - %s: %d files\n", files > 0 ? "" : "not ", i, argv[i], files);
    }
    return argc > 1 && failures == 0 ? 0 : 1;
}
