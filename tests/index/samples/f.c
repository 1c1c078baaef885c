#include <stdio.h>
#define MAX 3
#define SQ(x) ((x)*(x))
struct point { int x; int y; };
typedef struct { int a; } pair_t;
enum color { RED, GREEN };
static int counter = 0;
int declared(int a);
static inline char *dup(const char *s) { return 0; }
int (*fp)(int);
#ifdef X
void guarded(void) { }
#endif
