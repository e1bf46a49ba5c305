/* What a shift cannot do without, and nothing else: for each inode of a tree statx(2) and listxattrat(2), before anything is
 * changed, then fchownat(2), each by a name that getdents64(2) gave once. No decision, no log, no namespace, no error.
 *
 * usage: shift_floor TREE ID        (a tree of one level of directories, as shift.py makes it; Linux 6.13)
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kListxattrat = 465, kBuffer = 32768, kMostText = 64 << 20 };

static char* text; /* for each name: its type, itself, NUL; two NULs after each directory */
static size_t used;

static void survey(int directory) {
  static char buffer[kBuffer];
  long got;
  while ((got = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < got;) {
      struct dirent64* entry = (struct dirent64*)(buffer + at);
      struct statx seen;
      at += entry->d_reclen;
      if (entry->d_name[0] == '.') continue;
      statx(directory, entry->d_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &seen);
      syscall(kListxattrat, directory, entry->d_name, AT_SYMLINK_NOFOLLOW, NULL, 0);
      text[used++] = (char)entry->d_type;
      used = (size_t)(stpcpy(text + used, entry->d_name) - text) + 1;
    }
  used += 2;
}

static const char* change(int directory, const char* name, uid_t id) {
  while (name[0] != '\0') {
    fchownat(directory, name + 1, id, id, AT_SYMLINK_NOFOLLOW);
    name += strlen(name) + 1;
  }
  return name + 2;
}

/* Each directory in `names`: surveyed, or changed by what follows from `next` on. */
static void each_directory(int root, const char* names, const char* next, uid_t id) {
  for (; names[0] != '\0'; names += strlen(names) + 1) {
    if (names[0] != DT_DIR) continue;
    const int directory = openat(root, names + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (next == NULL) survey(directory);
    if (next != NULL) next = change(directory, next, id);
    close(directory);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const uid_t id = (uid_t)atoi(argv[2]);
  const int root = open(argv[1], O_RDONLY | O_DIRECTORY);
  text = calloc(1, kMostText);
  if (root < 0 || text == NULL) return 1;
  survey(root);
  const char* below = text + used;
  each_directory(root, text, NULL, id);
  change(root, text, id);
  each_directory(root, text, below, id);
  return 0;
}
