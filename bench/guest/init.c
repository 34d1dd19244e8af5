/* The only program of the Linux guest for the comparison with Postern: loads the modules, does the disk work of
 * `bench=` on its command line with O_DIRECT and Linux's own asynchronous I/O, answers echo, and powers off. It
 * prints the same facts as Postern. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEED 1
#define MAX_DEPTH 256

static void end(int status)
{
	printf("EXIT: STATUS=%d\n", status);
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void fail(const char *what)
{
	printf("postern-bench: %s: %s\n", what, strerror(errno));
	end(6);
}

static uint64_t splitmix64(uint64_t x)
{
	uint64_t z = x + 0x9E3779B97F4A7C15u;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static uint64_t nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t timebase(void)
{
	uint64_t t;
	__asm__ volatile("mfspr %0, 268" : "=r"(t));
	return t;
}

/* Ticks that the CPU was idle so far: the scheduler counts nanoseconds from the start of idle to the next
 * interrupt. The timebase of every pseries has 512 MHz. */
static uint64_t idle_ticks(void)
{
	static char list[65536];
	unsigned long long idle;
	ssize_t length = 0, n;
	int file = open("/proc/timer_list", O_RDONLY);
	while ((n = read(file, list + length, sizeof list - 1 - length)) > 0)
		length += n;
	close(file);
	list[length] = 0;
	char *at = strstr(list, "idle_sleeptime");
	if (!at || sscanf(at, "idle_sleeptime%*[ :]%llu", &idle) != 1)
		fail("/proc/timer_list");
	return (__uint128_t)idle * 512 / 1000;
}

/* Modules in the order of the file names, 00-name.ko on. */
static void load_modules(void)
{
	char path[128];
	for (int i = 0;; i++) {
		snprintf(path, sizeof path, "/modules/%02d.ko", i);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return;
		if (syscall(SYS_finit_module, file, "", 0) && errno != EEXIST)
			fail(path);
		close(file);
	}
}

static int patterned;

static uint64_t word_at(uint64_t offset)
{
	return patterned ? splitmix64(SEED + offset / 8) : 0;
}

static void check(uint64_t offset, const char *data, uint64_t bytes)
{
	uint64_t first, last;
	memcpy(&first, data, 8);
	memcpy(&last, data + bytes - 8, 8);
	if (first != word_at(offset) || last != word_at(offset + bytes - 8)) {
		printf("postern-bench: the answer for byte %llu is wrong\n", (unsigned long long)offset);
		end(7);
	}
}

static void fill(uint64_t offset, char *data, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 8) {
		uint64_t word = word_at(offset + i);
		memcpy(data + i, &word, 8);
	}
}

struct work {
	int write, random;
	uint64_t bytes, depth, milliseconds, places, number;
};

static uint64_t place(struct work *w)
{
	uint64_t n = w->number++;
	return (w->random ? splitmix64(n) : n) % w->places * w->bytes;
}

static void one_at_a_time(int disk, struct work *w, char *buffer, uint64_t until, uint64_t *requests)
{
	do {
		uint64_t offset = place(w);
		if (w->write)
			fill(offset, buffer, w->bytes);
		ssize_t done = w->write ? pwrite(disk, buffer, w->bytes, offset) : pread(disk, buffer, w->bytes, offset);
		if (done != (ssize_t)w->bytes)
			fail("request");
		if (!w->write)
			check(offset, buffer, w->bytes);
		++*requests;
	} while (nanoseconds() < until);
}

static void many_at_a_time(int disk, struct work *w, char *buffers, uint64_t until, uint64_t *requests)
{
	aio_context_t context = 0;
	static struct iocb blocks[MAX_DEPTH];
	struct iocb *ready[MAX_DEPTH];
	struct io_event events[MAX_DEPTH];
	uint64_t idle[MAX_DEPTH], idle_count = w->depth, in_flight = 0;
	if (syscall(SYS_io_setup, w->depth, &context))
		fail("io_setup");
	for (uint64_t i = 0; i < w->depth; i++)
		idle[i] = i;
	for (;;) {
		if (nanoseconds() < until) {
			uint64_t n = 0;
			while (idle_count) {
				uint64_t i = idle[--idle_count];
				struct iocb *b = &blocks[i];
				memset(b, 0, sizeof *b);
				b->aio_data = i;
				b->aio_lio_opcode = w->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
				b->aio_fildes = disk;
				b->aio_buf = (uintptr_t)(buffers + i * w->bytes);
				b->aio_nbytes = w->bytes;
				b->aio_offset = place(w);
				if (w->write)
					fill(b->aio_offset, buffers + i * w->bytes, w->bytes);
				ready[n++] = b;
			}
			for (uint64_t done = 0; done < n;) {
				long accepted = syscall(SYS_io_submit, context, n - done, ready + done);
				if (accepted <= 0)
					fail("io_submit");
				done += accepted;
			}
			in_flight += n;
		}
		if (!in_flight)
			break;
		long n = syscall(SYS_io_getevents, context, 1, MAX_DEPTH, events, NULL);
		if (n <= 0)
			fail("io_getevents");
		for (long e = 0; e < n; e++) {
			uint64_t i = events[e].data;
			if (events[e].res != (int64_t)w->bytes)
				fail("request");
			if (!w->write)
				check(blocks[i].aio_offset, buffers + i * w->bytes, w->bytes);
			idle[idle_count++] = i;
		}
		in_flight -= n;
		*requests += n;
	}
	syscall(SYS_io_destroy, context);
}

static void measure(int number, char *text)
{
	struct work w = {0};
	char access[8], order[8];
	unsigned long long bytes, depth, milliseconds;
	if (sscanf(text, "%7[a-z]:%llu:%llu:%7[a-z]:%llu", access, &bytes, &depth, order, &milliseconds) != 5 ||
	    depth > MAX_DEPTH)
		fail(text);
	w.write = !strcmp(access, "write");
	w.random = !strcmp(order, "random");
	w.bytes = bytes, w.depth = depth, w.milliseconds = milliseconds;
	int disk = open("/dev/vda", (w.write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	uint64_t size;
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size))
		fail("/dev/vda");
	w.places = size / w.bytes;
	char *buffers;
	if (posix_memalign((void **)&buffers, 65536, w.depth * w.bytes))
		fail("memory");
	memset(buffers, 0, w.depth * w.bytes);
	uint64_t requests = 0, idle = idle_ticks(), start = nanoseconds(), ticks = timebase();
	uint64_t until = start + w.milliseconds * 1000000;
	if (w.depth == 1)
		one_at_a_time(disk, &w, buffers, until, &requests);
	else
		many_at_a_time(disk, &w, buffers, until, &requests);
	uint64_t took = nanoseconds() - start;
	ticks = timebase() - ticks;
	idle = idle_ticks() - idle;
	uint64_t per_second = (__uint128_t)requests * 1000000000 / (took ? took : 1);
	printf("postern: bench.%d.work=%s\n", number, text);
	printf("postern: bench.%d.requests=%llu\n", number, (unsigned long long)requests);
	printf("postern: bench.%d.ticks=%llu\n", number, (unsigned long long)ticks);
	printf("postern: bench.%d.idle=%llu\n", number, (unsigned long long)idle);
	printf("postern: bench.%d.iops=%llu\n", number, (unsigned long long)per_second);
	printf("postern: bench.%d.kb_s=%llu\n", number, (unsigned long long)(per_second * w.bytes / 1000));
	fflush(stdout);
	free(buffers);
	close(disk);
}

static void look_at_content(void)
{
	static char block[4096] __attribute__((aligned(4096)));
	int disk = -1;
	/* The device node appears after the driver has probed. */
	for (int i = 0; i < 1000 && (disk = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC)) < 0; i++)
		usleep(1000);
	if (disk < 0)
		fail("/dev/vda");
	printf("postern: bench.ready=%llu\n", (unsigned long long)timebase());
	fflush(stdout);
	if (read(disk, block, sizeof block) != sizeof block)
		fail("/dev/vda");
	uint64_t first;
	memcpy(&first, block, 8);
	patterned = first != 0;
	check(0, block, sizeof block);
	close(disk);
}

/* 10.0.2.15/24, like Postern. */
static void configure(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {0};
	struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;
	strcpy(r.ifr_name, "eth0");
	for (int i = 0; i < 1000 && ioctl(s, SIOCGIFINDEX, &r); i++)
		usleep(1000);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = inet_addr("10.0.2.15");
	if (ioctl(s, SIOCSIFADDR, &r))
		fail("address");
	a->sin_addr.s_addr = inet_addr("255.255.255.0");
	if (ioctl(s, SIOCSIFNETMASK, &r))
		fail("netmask");
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &r))
		fail("up");
	close(s);
}

static uint16_t sum(const void *data, size_t bytes)
{
	const uint16_t *words = data;
	uint32_t total = 0;
	for (size_t i = 0; i < bytes / 2; i++)
		total += words[i];
	total = (total >> 16) + (total & 0xffff);
	return ~(total + (total >> 16));
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* The median of as many pings of the gateway as Postern sends, with the same payload size. */
static void ping(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.0.2.2")};
	struct timeval patience = {.tv_sec = 3};
	uint64_t times[101];
	int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (int i = 0; i < 101; i++) {
		uint16_t question[32] = {htons(0x0800), 0, htons(77), htons(i)};
		unsigned char answer[256];
		question[1] = sum(question, sizeof question);
		uint64_t start = nanoseconds();
		if (sendto(s, question, sizeof question, 0, (void *)&to, sizeof to) < 0)
			fail("ping");
		for (;;) {
			ssize_t n = recv(s, answer, sizeof answer, 0);
			if (n < 0)
				fail("ping");
			if (n == 84 && answer[20] == 0 && !memcmp(answer + 24, question + 2, 4))
				break;
		}
		times[i] = nanoseconds() - start;
	}
	close(s);
	qsort(times, 101, sizeof *times, by_size);
	/* The firmware's last line may lack a line end. */
	printf("\npostern: net0.ping_us=%llu\n", (unsigned long long)times[50] / 1000);
}

#define PERIOD (95 * 74)
static char pattern[PERIOD * 11];

/* A socket of each kind on a port. */
static void open_port(int port, int *udp, int *tcp)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;
	*udp = socket(AF_INET, SOCK_DGRAM, 0), *tcp = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(*tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(*udp, (void *)&at, sizeof at) || bind(*tcp, (void *)&at, sizeof at) || listen(*tcp, 8))
		fail("port");
}

/* Ports 9 and 19, each connection in a process of its own. */
static unsigned long long *discarded;
static void one_way(void)
{
	static char block[65536];
	int udp[2], tcp[2];
	for (int i = 0; i < (int)sizeof pattern; i++) {
		int line = i % PERIOD / 74, column = i % 74;
		pattern[i] = column == 72 ? '\r' : column == 73 ? '\n' : ' ' + (line + column) % 95;
	}
	discarded = mmap(NULL, sizeof *discarded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	open_port(9, &udp[0], &tcp[0]), open_port(19, &udp[1], &tcp[1]);
	signal(SIGPIPE, SIG_IGN), signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 4; i++) {
		if (fork())
			continue;
		struct sockaddr_in from;
		socklen_t length = sizeof from;
		while (i == 0)
			if (recv(udp[0], block, sizeof block, 0) >= 0)
				++*discarded;
		while (i == 1)
			if (recvfrom(udp[1], block, sizeof block, 0, (void *)&from, &length) >= 0)
				sendto(udp[1], pattern, 1400, 0, (void *)&from, length);
		for (;;) {
			int c = accept(tcp[i - 2], NULL, NULL);
			size_t at = 0;
			ssize_t n;
			while (i == 2 && read(c, block, sizeof block) > 0)
				;
			while (i == 3 && (n = write(c, pattern + at, sizeof block)) > 0) {
				at = (at + n) % PERIOD;
				/* Until the peer has closed its side. */
				if (recv(c, block, sizeof block, MSG_DONTWAIT) == 0)
					break;
			}
			close(c);
		}
	}
}

/* Prints how much time has passed, and how much of it was idle. */
static void mark(void)
{
	static int marks;
	uint64_t now = timebase();
	printf("postern: net0.mark.%d.ticks=%llu\n", marks, (unsigned long long)now);
	printf("postern: net0.mark.%d.idle=%llu\n", marks, (unsigned long long)idle_ticks());
	fflush(stdout);
	marks++;
}

/* UDP and TCP echo on port 7, until told to end. */
static void serve(int measured)
{
	static char block[65536];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7)};
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(udp, (void *)&at, sizeof at) || bind(tcp, (void *)&at, sizeof at) || listen(tcp, 8))
		fail("port 7");
	printf("postern: net0.serve=ready\n");
	fflush(stdout);
	struct pollfd all[16] = {{udp, POLLIN, 0}, {tcp, POLLIN, 0}, {0, POLLIN, 0}};
	int count = 3;
	for (;;) {
		if (poll(all, count, -1) < 0)
			continue;
		for (int i = 0; all[0].revents && i < 64; i++) {
			struct sockaddr_in from;
			socklen_t length = sizeof from;
			ssize_t n = recvfrom(udp, block, sizeof block, MSG_DONTWAIT, (void *)&from, &length);
			if (n < 0)
				break;
			sendto(udp, block, n, 0, (void *)&from, length);
		}
		if (all[1].revents && count < 16) {
			int c = accept(tcp, NULL, NULL);
			setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			all[count++] = (struct pollfd){c, POLLIN, 0};
		}
		if (all[2].revents && read(0, block, 1) == 1) {
			if (block[0] == 'q')
				return;
			if (block[0] == 'm' && measured)
				mark();
		}
		for (int i = 3; i < count; i++) {
			if (!all[i].revents)
				continue;
			ssize_t n = read(all[i].fd, block, sizeof block);
			for (ssize_t done = 0, m; n > 0 && done < n; done += m)
				if ((m = write(all[i].fd, block + done, n - done)) <= 0)
					n = 0;
			if (n <= 0) {
				close(all[i].fd);
				all[i--] = all[--count];
			}
		}
	}
}

int main(void)
{
	static char line[4096];
	mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	int console = open("/dev/hvc0", O_RDWR);
	if (console >= 0)
		dup2(console, 0), dup2(console, 1), dup2(console, 2);
	load_modules();
	int file = open("/proc/cmdline", O_RDONLY);
	ssize_t length = read(file, line, sizeof line - 1);
	if (length < 0)
		fail("/proc/cmdline");
	char *bench = strstr(line, "bench=");
	int measured = strstr(line, "run=net-bench") != NULL;
	int serving = measured || strstr(line, "run=net-serve") != NULL;
	if (bench) {
		look_at_content();
		bench = strtok(bench + 6, " \n");
		int number = 0;
		for (char *text = strtok(bench, ","); text; text = strtok(NULL, ","))
			measure(number++, text);
	}
	if (serving) {
		configure();
		if (measured)
			ping(), one_way();
		serve(measured);
		if (measured)
			printf("postern: net0.discarded=%llu\n", *discarded);
	}
	end(0);
}
