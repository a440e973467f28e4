/* Preloaded into a build, gives its build scripts the same random numbers every time: r2r's write the messages in the order of
 * a hash map, whose seed is random. Every other program gets its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char BUILD_SCRIPT[] = "build-script-";

ssize_t getrandom(void *numbers, size_t length, unsigned int flags) {
  if (strncmp(program_invocation_short_name, BUILD_SCRIPT, sizeof BUILD_SCRIPT - 1) != 0)
    return syscall(SYS_getrandom, numbers, length, flags);
  memset(numbers, 0x5a, length);
  return (ssize_t)length;
}
