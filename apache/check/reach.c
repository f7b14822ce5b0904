#include "check/reach.h"

#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the process says about one path, in shared memory: blocked_len bytes of it are the directory
 * that cannot be entered. */
typedef struct answer {
    int result;
    size_t blocked_len;
} answer;

/* One path to try: as written, or with its links resolved. */
typedef struct question {
    char *path; /* the process writes into its copy */
    wsgi_reach *reach;
} question;

/* ---- in the process: system calls only ---- */

static answer try_path(char *path, int mode)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        int rc;

        *slash = '\0';
        rc = access(path, X_OK);
        *slash = '/';
        if (rc != 0)
            return (answer){errno == EACCES ? WSGI_BLOCKED_DIR : WSGI_REACH_UNKNOWN,
                            (size_t)(slash - path)};
    }
    if (access(path, mode) != 0)
        return (answer){errno == EACCES ? WSGI_BLOCKED_FILE : WSGI_REACH_UNKNOWN, strlen(path)};
    return (answer){WSGI_REACHED, 0};
}

static void answer_all(const wsgi_credentials *who, const apr_array_header_t *questions,
                       answer *answers)
{
    if (setgroups((size_t)who->ngids, who->gids) < 0 || setgid(who->gids[0]) < 0 ||
        setuid(who->uid) < 0)
        _exit(1);
    for (int i = 0; i < questions->nelts; i++) {
        const question *q = &APR_ARRAY_IDX(questions, i, question);

        answers[i] = try_path(q->path, q->reach->mode);
    }
    _exit(0);
}

/* ---- in the parent ---- */

static void take(apr_pool_t *p, const question *q, const answer *a)
{
    struct stat st;

    if (q->reach->result == WSGI_BLOCKED_DIR || q->reach->result == WSGI_BLOCKED_FILE)
        return; /* on the way as written */
    q->reach->result = a->result;
    if (a->result != WSGI_BLOCKED_DIR && a->result != WSGI_BLOCKED_FILE)
        return;
    q->reach->blocked = apr_pstrmemdup(p, q->path, a->blocked_len);
    q->reach->blocked_mode = stat(q->reach->blocked, &st) == 0 ? st.st_mode & 07777 : 0;
    /* What blocks may lie behind the link; then it is found on the resolved path. */
    if (stat(q->reach->blocked, &st) == 0 && lstat(q->reach->blocked, &st) == 0 &&
        S_ISLNK(st.st_mode))
        q->reach->result = WSGI_REACH_UNKNOWN;
}

static apr_array_header_t *questions_of(apr_pool_t *p, const apr_array_header_t *all)
{
    apr_array_header_t *questions = apr_array_make(p, 2 * all->nelts, sizeof(question));

    for (int i = 0; i < all->nelts; i++) {
        wsgi_reach *reach = APR_ARRAY_IDX(all, i, wsgi_reach *);
        char *resolved = realpath(reach->path, NULL);

        reach->result = WSGI_REACH_UNKNOWN;
        *(question *)apr_array_push(questions) = (question){apr_pstrdup(p, reach->path), reach};
        if (resolved && strcmp(resolved, reach->path))
            *(question *)apr_array_push(questions) = (question){apr_pstrdup(p, resolved), reach};
        free(resolved);
    }
    return questions;
}

void wsgi_reach_ask(apr_pool_t *p, const wsgi_credentials *who, const apr_array_header_t *all)
{
    apr_array_header_t *questions = questions_of(p, all);
    size_t size = (size_t)questions->nelts * sizeof(answer);
    answer *answers;
    int status = -1;
    pid_t pid;

    if (geteuid() != 0 || size == 0)
        return;
    answers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answers == MAP_FAILED)
        return;
    pid = fork();
    if (pid == 0)
        answer_all(who, questions, answers);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    for (int i = 0; pid > 0 && status == 0 && i < questions->nelts; i++)
        take(p, &APR_ARRAY_IDX(questions, i, question), &answers[i]);
    munmap(answers, size);
}
