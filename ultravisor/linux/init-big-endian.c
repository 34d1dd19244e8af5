/* The first process of a big-endian Linux, for which Debian has no busybox: says whether the guest is secure, and copies
 * the first MiB of one disk to another. It has no C library, so the little-endian cross compiler builds it. */

#define SIZE 65536
#define COPIED (16 * SIZE)
enum { READ = 3, WRITE = 4, OPEN = 5, MOUNT = 21, REBOOT = 88, FSYNC = 118 };
enum { READ_ONLY = 0, READ_WRITE = 2 };

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r0 __asm__("r0") = number;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;
	__asm__ volatile("sc\n\tbns+ 1f\n\tneg 3,3\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 :
			 : "memory", "cr0", "ctr", "r8", "r9", "r10", "r11", "r12");
	return r3;
}

static long length(const char *text)
{
	long size = 0;
	while (text[size])
		size++;
	return size;
}

static void say(const char *text)
{
	call(WRITE, 1, (long)text, length(text), 0, 0);
}

static long open(const char *path, long how)
{
	return call(OPEN, (long)path, how, 0, 0, 0);
}

static void mount(const char *type, const char *at)
{
	call(MOUNT, (long)type, (long)at, (long)type, 0, 0);
}

static char buffer[SIZE];

/* Zero if a call failed. */
static long copied(long from, long to)
{
	for (long done = 0; done < COPIED; done += SIZE)
		if (call(READ, from, (long)buffer, SIZE, 0, 0) != SIZE || call(WRITE, to, (long)buffer, SIZE, 0, 0) != SIZE)
			return 0;
	return call(FSYNC, to, 0, 0, 0, 0) == 0;
}

void _start(void)
{
	mount("proc", "/proc");
	mount("sysfs", "/sys");
	mount("devtmpfs", "/dev");
	const union {
		unsigned short word;
		unsigned char first;
	} order = { 1 };
	say(order.first ? "linux: order=little-endian\n" : "linux: order=big-endian\n");
	call(READ, open("/sys/devices/system/cpu/svm", READ_ONLY), (long)buffer, 1, 0, 0);
	say(buffer[0] == '1' ? "linux: svm=1\n" : "linux: svm=0\n");
	say(copied(open("/dev/vda", READ_ONLY), open("/dev/vdb", READ_WRITE)) ? "linux: copied=1048576\n" : "linux: copied=no\n");
	say("linux: done=1\n");
	/* LINUX_REBOOT_CMD_POWER_OFF, with its two magic numbers. */
	call(REBOOT, 0xfee1dead, 672274793, 0x4321fedc, 0, 0);
	for (;;)
		;
}
