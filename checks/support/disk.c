/* A disk that forgets, fails and dies when told to, for LD_PRELOAD; see disk.py.
 *
 * DISK_FOLDER  the folder whose files are on it. The real one keeps what processes see.
 * DISK_SHADOW  a folder for what would survive a power cut: the content a file had at its last
 *              fsync, and the names the folder had at its own.
 * DISK_FAULTS  a folder: while it has a file named as a call (fsync, write, read), with an errno
 *              and the end of a file's name in it ("5 -wal"), that call fails on such files.
 * DISK_STEP    "all 7": the process is killed before its 7th change of the disk; "fsync 7":
 *              before its 7th fsync.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY 512
#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static void give_up(const char *what) {
    fprintf(stderr, "disk.c: %s: %s\n", what, strerror(errno));
    abort();
}

/* Says whether a path is of the folder, or the folder itself (2). */
static int ours(const char *path) {
    const char *folder = getenv("DISK_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length)) return 0;
    return path[length] == '/' ? 1 : path[length] ? 0 : 2;
}

static int of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int saved = errno;
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = saved;
    path[length < 0 ? 0 : length] = 0;
    return ours(path);
}

/* Count a change of the disk, and die of it. */
static void step(const char *kind) {
    static int steps;
    const char *when = getenv("DISK_STEP");
    char wanted[16];
    int last;
    if (!when || sscanf(when, "%15s %d", wanted, &last) != 2) return;
    if (strcmp(wanted, "all") && strcmp(wanted, kind)) return;
    pthread_mutex_lock(&counting);
    if (++steps == last) kill(getpid(), SIGKILL);
    pthread_mutex_unlock(&counting);
}

static int fails(const char *call, const char *path) {
    const char *faults = getenv("DISK_FAULTS");
    if (!faults) return 0;
    char name[PATH_MAX], end[256] = "";
    snprintf(name, sizeof name, "%s/%s", faults, call);
    int saved = errno, number = 0;
    FILE *told = fopen(name, "re");
    if (told) {
        if (fscanf(told, "%d %255s", &number, end) < 1) number = 0;
        fclose(told);
    }
    errno = saved;
    size_t length = strlen(path), tail = strlen(end);
    if (!number || tail > length || strcmp(path + length - tail, end)) return 0;
    errno = number;
    return 1;
}

/* What stands for a file in the shadow: its inode, and which of those that had that number. */
void key_of(int fd, const char *path, char *key, size_t size) {
    struct stat found;
    _Alignas(struct file_handle) unsigned char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    struct file_handle *handle = (struct file_handle *)room;
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount;
    if (fstatat(fd, path, &found, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) give_up("fstatat");
    if (name_to_handle_at(fd, path, handle, &mount, AT_EMPTY_PATH))
        give_up("name_to_handle_at, which this file system lacks perhaps");
    size_t at = (size_t)snprintf(key, size, "%llu.", (unsigned long long)found.st_ino);
    for (unsigned byte = 0; byte < handle->handle_bytes && at + 3 < size; byte++)
        at += (size_t)snprintf(key + at, size - at, "%02x", room[sizeof *handle + byte]);
}

static FILE *draft(const char *shadow, char *path) {
    snprintf(path, PATH_MAX, "%s/draft", shadow);
    FILE *file = fopen(path, "we");
    if (!file) give_up(path);
    return file;
}

static void keep(FILE *file, const char *path, const char *shadow, const char *name) {
    char place[PATH_MAX];
    snprintf(place, sizeof place, "%s/%s", shadow, name);
    if (fclose(file) || syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, place, 0)) give_up(place);
}

/* What is open is read by its own descriptor: closing another would end SQLite's locks. */
static void keep_content(int fd, const char *shadow) {
    char path[PATH_MAX], key[KEY];
    key_of(fd, "", key, sizeof key);
    FILE *file = draft(shadow, path);
    off_t at = 0;
    for (;;) {
        ssize_t sent = sendfile(fileno(file), fd, &at, 1 << 30);
        if (sent < 0) give_up("sendfile");
        if (!sent) break;
    }
    keep(file, path, shadow, key);
}

static void keep_names(const char *folder, const char *shadow, int contents) {
    char path[PATH_MAX], key[KEY];
    DIR *names = opendir(folder);
    if (!names) give_up(folder);
    struct dirent *entry;
    while (contents && (entry = readdir(names))) {
        if (entry->d_type != DT_REG) continue;
        int fd = openat(dirfd(names), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) give_up(entry->d_name);
        keep_content(fd, shadow);
        close(fd);
    }
    rewinddir(names);
    FILE *file = draft(shadow, path);
    while ((entry = readdir(names))) {
        struct stat found;
        if (fstatat(dirfd(names), entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) continue;
        if (!S_ISREG(found.st_mode)) continue;
        key_of(dirfd(names), entry->d_name, key, sizeof key);
        fprintf(file, "%s %o %s\n", key, found.st_mode & 07777, entry->d_name);
    }
    closedir(names);
    keep(file, path, shadow, "names");
}

static int lock(const char *shadow) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", shadow);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX)) give_up(path);
    return fd;
}

/* What is there before the first process of a disk was synced long ago. */
__attribute__((constructor)) void begin(void) {
    const char *shadow = getenv("DISK_SHADOW"), *folder = getenv("DISK_FOLDER");
    char names[PATH_MAX];
    if (!shadow || !folder) return;
    int held = lock(shadow);
    snprintf(names, sizeof names, "%s/names", shadow);
    if (access(names, F_OK)) keep_names(folder, shadow, 1);
    close(held);
}

static int synced(int fd, int (*next)(int)) {
    char path[PATH_MAX];
    int which = of_fd(fd, path);
    if (!which) return next(fd);
    step("fsync");
    if (fails("fsync", path)) return -1;
    const char *shadow = getenv("DISK_SHADOW");
    if (shadow) {
        int saved = errno, held = lock(shadow);
        if (which == 2)
            keep_names(path, shadow, 0);
        else
            keep_content(fd, shadow);
        close(held);
        errno = saved;
    }
    return next(fd);
}

int fsync(int fd) { return synced(fd, NEXT(fsync)); }
int fdatasync(int fd) { return synced(fd, NEXT(fdatasync)); }

/* Says whether a change of an open file fails; counts it. */
static int refused(int fd, const char *call) {
    char path[PATH_MAX];
    if (of_fd(fd, path) != 1) return 0;
    if (strcmp(call, "read")) step("");
    return fails(call, path);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return refused(fd, "write") ? -1 : NEXT(pwrite64)(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return refused(fd, "write") ? -1 : NEXT(pwrite)(fd, data, size, at);
}
ssize_t write(int fd, const void *data, size_t size) {
    return refused(fd, "write") ? -1 : NEXT(write)(fd, data, size);
}
int ftruncate64(int fd, off64_t size) {
    return refused(fd, "write") ? -1 : NEXT(ftruncate64)(fd, size);
}
int ftruncate(int fd, off_t size) {
    return refused(fd, "write") ? -1 : NEXT(ftruncate)(fd, size);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    return refused(fd, "read") ? -1 : NEXT(pread64)(fd, data, size, at);
}
ssize_t pread(int fd, void *data, size_t size, off_t at) {
    return refused(fd, "read") ? -1 : NEXT(pread)(fd, data, size, at);
}

/* Names may be changed from elsewhere; here they are only counted. */
int unlink(const char *path) {
    if (ours(path) == 1) step("");
    return NEXT(unlink)(path);
}
int link(const char *from, const char *to) {
    if (ours(to) == 1) step("");
    return NEXT(link)(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    if (ours(to) == 1) step("");
    return NEXT(linkat)(a, from, b, to, flags);
}
int rename(const char *from, const char *to) {
    if (ours(to) == 1) step("");
    return NEXT(rename)(from, to);
}
