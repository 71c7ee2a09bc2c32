/*
 * Slurm's plugin for `#SBATCH --kluis=icu-sepsis/ecg-2024@3`: takes the option where a job is submitted, hands it to the prolog,
 * and tells the job where its data is. The prolog mounts, the epilog unmounts; nothing here runs as root or opens a file.
 *
 *   cc -Wall -Wextra -Werror -O2 -shared -fPIC -o /usr/lib/slurm/spank_kluis.so spank_kluis.c
 *   plugstack.conf:   required /usr/lib/slurm/spank_kluis.so [run=/run/kluis]
 *
 * What the prolog is handed comes from the job's owner, who could set it without this plugin: it checks every name again.
 */
#include <slurm/spank.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

SPANK_PLUGIN(kluis, 1);

#define VERSIONS_MAX 16
#define VALUE_BYTES_MAX 1200

static char wanted[VALUE_BYTES_MAX + 1];

/* Words of letters and digits, joined by single hyphens, 1 to `max` bytes; how many, or 0. */
static size_t name(const char *text, size_t max)
{
    size_t count = 0, word;

    for (;;) {
        word = strspn(text + count, "abcdefghijklmnopqrstuvwxyz0123456789");
        count += word;
        if (!word || count > max)
            return 0;
        if (text[count] != '-')
            return count;
        count++;
    }
}

/* A job's right behind a number, :person/id, if there is one; what follows it, or NULL. */
static const char *right(const char *text)
{
    size_t count;

    if (*text != ':')
        return text;
    text++;
    count = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._@-");
    if (!count || count > 128 || *text == '-' || text[count] != '/')
        return NULL;
    text += count + 1;
    return strspn(text, "0123456789abcdef") == 32 ? text + 32 : NULL;
}

/* project/dataset@number or @latest; what follows it, or NULL. */
static const char *version(const char *text)
{
    size_t count = name(text, 30);
    if (!count || text[count] != '/')
        return NULL;
    text += count + 1;
    count = name(text, 63);
    if (!count || text[count] != '@')
        return NULL;
    text += count + 1;
    if (strncmp(text, "latest", 6) == 0)
        return text + 6;
    count = strspn(text, "0123456789");
    return count && count <= 7 && *text != '0' ? right(text + count) : NULL;
}

static int is_list(const char *text)
{
    for (int count = 1; count <= VERSIONS_MAX; count++) {
        text = version(text);
        if (!text)
            return 0;
        if (!*text)
            return 1;
        if (*text++ != ',')
            return 0;
    }
    return 0;
}

static int take(int val, const char *text, int remote)
{
    (void)val;
    (void)remote;
    if (!text || strlen(text) > VALUE_BYTES_MAX || !is_list(text)) {
        slurm_error("kluis: a version is written project/dataset@number or project/dataset@latest; "
                    "up to %d of them are joined by commas", VERSIONS_MAX);
        return -1;
    }
    strcpy(wanted, text);
    return 0;
}

static struct spank_option option = {
    .name = "kluis",
    .arginfo = "VERSION[,VERSION...]",
    .usage = "Published versions that the job reads, as project/dataset@number",
    .has_arg = 1,
    .val = 0,
    .cb = take,
};

int slurm_spank_init(spank_t spank, int ac, char **av)
{
    (void)ac;
    (void)av;
    switch (spank_context()) {
    case S_CTX_LOCAL:     /* srun */
    case S_CTX_ALLOCATOR: /* sbatch, salloc */
    case S_CTX_REMOTE:    /* the job's step */
        return spank_option_register(spank, &option) == ESPANK_SUCCESS ? 0 : -1;
    default:
        return 0;
    }
}

/* Where the job is submitted: the prolog and the epilog will find it in SPANK_KLUIS. */
int slurm_spank_init_post_opt(spank_t spank, int ac, char **av)
{
    (void)ac;
    (void)av;
    if (!*wanted || spank_context() == S_CTX_REMOTE)
        return 0;
    return spank_job_control_setenv(spank, "KLUIS", wanted, 1) == ESPANK_SUCCESS ? 0 : -1;
}

/* In the job: KLUIS_DATA is its directory, or that of its one version. */
int slurm_spank_task_init(spank_t spank, int ac, char **av)
{
    const char *run = "/run/kluis";
    char place[VALUE_BYTES_MAX + 300];
    uint32_t job;
    int length;

    for (int n = 0; n < ac; n++)
        if (strncmp(av[n], "run=", 4) == 0)
            run = av[n] + 4;
    if (!*wanted || spank_get_item(spank, S_JOB_ID, &job) != ESPANK_SUCCESS)
        return 0;
    if (strchr(wanted, ','))
        length = snprintf(place, sizeof place, "%s/%u", run, job);
    else
        length = snprintf(place, sizeof place, "%s/%u/%.*s", run, job, (int)strcspn(wanted, ":"), wanted);
    if (length < 0 || (size_t)length >= sizeof place)
        return -1;
    return spank_setenv(spank, "KLUIS_DATA", place, 1) == ESPANK_SUCCESS ? 0 : -1;
}
