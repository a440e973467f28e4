// What the stand-in compiler links in the place of every kernel: an entry point and one relocation.
extern int somewhere;
__attribute__((section(".start"), noreturn)) void _start(void) {
  somewhere = 0;
  for (;;) {
  }
}
int somewhere;
