/* Loads another kernel from a Linux that was booted with a flat tree, and starts it by kexec:
 *   kexec [-f] [-i INITRD] KERNEL COMMAND-LINE
 * KERNEL is an ELF file whose segments lie together; they are put where nothing is reserved. The new kernel gets the
 * tree that this one was started with, reservations and all, with its own command line. Other CPUs stop themselves
 * first. With -f Linux does all this itself (kexec_file_load). Exit: 1 and a sentence, 2 for a wrong use. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <linux/reboot.h>

/* The kernel's largest page, and the ultravisor's. */
#define PAGE 0x10000ull
/* Above what Linux itself uses of low memory: its file, and with swiotlb=force the bounce buffers. */
#define LOWEST 0x10000000ull
#define FDT_MAGIC 0xd00dfeedu
enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };

static void fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("kexec: ", stdout);
	vprintf(format, list);
	putchar('\n');
	fflush(stdout);
	exit(1);
}

static uint8_t *load(const char *path, size_t *size)
{
	int file = open(path, O_RDONLY);
	if (file < 0)
		fail("%s: %s", path, strerror(errno));
	uint8_t *bytes = NULL;
	size_t room = 0, got = 0;
	for (;;) {
		if (got == room)
			bytes = realloc(bytes, room += 1 << 20);
		ssize_t n = bytes ? read(file, bytes + got, room - got) : -1;
		if (n < 0)
			fail("%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		got += n;
	}
	close(file);
	*size = got;
	return bytes;
}

static uint32_t get(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static uint64_t get64(const uint8_t *at)
{
	return (uint64_t)get(at) << 32 | get(at + 4);
}

static void put(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = value >> (24 - 8 * i);
}

static void put64(uint8_t *at, uint64_t value)
{
	put(at, value >> 32);
	put(at + 4, value);
}

static uint64_t up(uint64_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* The old tree, and the new one while it is written. */
static uint8_t *old_tree, *tree, *names;
static size_t at, names_size;

static uint32_t name_offset(const char *name)
{
	uint32_t offset = names_size;
	memcpy(names + offset, name, strlen(name) + 1);
	names_size += strlen(name) + 1;
	return offset;
}

static void word(uint32_t value)
{
	put(tree + at, value);
	at += 4;
}

static void property(uint32_t name, const void *value, size_t size)
{
	word(PROP);
	word(size);
	word(name);
	memset(tree + at, 0, (size + 3) / 4 * 4);
	memcpy(tree + at, value, size);
	at += (size + 3) / 4 * 4;
}

static void number(const char *name, uint64_t value)
{
	uint8_t cells[8];
	put64(cells, value);
	property(name_offset(name), cells, sizeof(cells));
}

struct place {
	uint64_t kernel, initrd, initrd_size, trampoline;
	const char *command;
};

static int dropped(const char *name)
{
	return !strcmp(name, "bootargs") || !strncmp(name, "linux,initrd-", 13);
}

static void chosen(const struct place *place)
{
	property(name_offset("bootargs"), place->command, strlen(place->command) + 1);
	if (place->initrd_size) {
		number("linux,initrd-start", place->initrd);
		number("linux,initrd-end", place->initrd + place->initrd_size);
	}
}

/* Version 17 of what is version 16 or 17. */
static size_t rewrite(const struct place *place)
{
	const uint8_t *from = old_tree + get(old_tree + 8), *strings = old_tree + get(old_tree + 12);
	names_size = get(old_tree + 32);
	memcpy(names, strings, names_size);
	memset(tree, 0, 40);
	at = 40;
	const uint8_t *entry = old_tree + get(old_tree + 16);
	for (; get64(entry) | get64(entry + 8); entry += 16) {
		memcpy(tree + at, entry, 16);
		at += 16;
	}
	put64(tree + at, place->trampoline);
	put64(tree + at + 8, PAGE);
	memset(tree + at + 16, 0, 16);
	at += 32;
	size_t structure = at;
	int depth = 0, in_chosen = 0;
	for (;;) {
		uint32_t token = get(from);
		from += 4;
		if (token == NOP)
			continue;
		if (in_chosen == 1 && token != PROP) {
			chosen(place);
			in_chosen = 2;
		}
		if (token == PROP) {
			uint32_t size = get(from), name = get(from + 4);
			if (!(in_chosen == 1 && depth == 2 && dropped((const char *)strings + name)))
				property(name, from + 8, size);
			from += 8 + (size + 3) / 4 * 4;
			continue;
		}
		word(token);
		if (token == BEGIN_NODE) {
			size_t size = (strlen((const char *)from) + 4) / 4 * 4;
			memcpy(tree + at, from, size);
			at += size;
			if (++depth == 2 && !strcmp((const char *)from, "chosen"))
				in_chosen = 1;
			from += size;
		} else if (token == END_NODE) {
			depth--;
		} else if (token == END) {
			break;
		} else {
			fail("the tree has token %#x", token);
		}
	}
	size_t structure_size = at - structure;
	memcpy(tree + at, names, names_size);
	put(tree, FDT_MAGIC);
	put(tree + 8, structure);
	put(tree + 12, at);
	put(tree + 16, 40);
	put(tree + 20, 17);
	put(tree + 24, 16);
	put(tree + 28, get(old_tree + 28));
	put(tree + 32, names_size);
	put(tree + 36, structure_size);
	at += names_size;
	put(tree + 4, at);
	return at;
}

/* The first address from which `size` bytes are nobody's. */
static uint64_t find(uint64_t from, uint64_t size)
{
	const uint8_t *entry = old_tree + get(old_tree + 16);
	for (; get64(entry) | get64(entry + 8); entry += 16) {
		uint64_t start = get64(entry), end = start + get64(entry + 8);
		if (start < from + size && from < end)
			return find(up(end), size);
	}
	return from;
}

/* Where Linux jumps to, with one CPU. Its first 256 bytes are copied to 0, where all others come to 0x60, big-endian:
 * each stops itself by RTAS, by code that stays where it is, and the first one waits until all have come there. */
struct words {
	uint64_t tree, kernel, stops, others;
	uint32_t arguments[4];
};
extern uint8_t trampoline[], trampoline_words[], trampoline_end[];
__asm__(".pushsection .data\n"
	"	.balign 8\n"
	"trampoline:\n"
	"	bcl 20, 31, 1f\n"
	"1:	mflr 6\n"
	"	addi 6, 6, trampoline_words - 1b\n"
	"2:	or 1, 1, 1\n"
	"	ld 7, 24(6)\n"
	"	cmpdi 7, 0\n"
	"	bgt 2b\n"
	"	or 2, 2, 2\n"
	"	sync\n"
	"	mftb 7\n"
	"3:	mftb 8\n"
	"	subf 8, 7, 8\n"
	"	cmpldi 8, 0x7fff\n"
	"	ble 3b\n"
	"	ld 3, 0(6)\n"
	"	ld 4, 8(6)\n"
	"	li 5, 0\n"
	"	mtctr 4\n"
	"	mr 12, 4\n"
	"	bctr\n"
	/* Big-endian: rfid to the third word, little-endian. */
	"	.org trampoline + 0x60\n"
	"	.macro big insn\n"
	"	.byte (\\insn) >> 24 & 255, (\\insn) >> 16 & 255, (\\insn) >> 8 & 255, (\\insn) & 255\n"
	"	.endm\n"
	"	big 0x429f0005\n" /* bcl 20, 31, 1f */
	"1:	big 0x7cc802a6\n" /* mflr 6 */
	"	big (0x38e00010 + (trampoline_words - 1b))\n" /* li 7, trampoline_words - 1b + 16 */
	"	big 0x7c863c28\n" /* ldbrx 4, 6, 7 */
	"	big 0x7ca000a6\n" /* mfmsr 5 */
	"	big 0x60a50001\n" /* ori 5, 5, 1 */
	"	big 0x7c9a03a6\n" /* mtsrr0 4 */
	"	big 0x7cbb03a6\n" /* mtsrr1 5 */
	"	big 0x4c000024\n" /* rfid */
	"	.org trampoline + 0xa0\n"
	"trampoline_words:\n"
	"	.zero 48\n"
	"	.org trampoline + 0x100\n"
	"	bcl 20, 31, 1f\n"
	"1:	mflr 6\n"
	"	addi 6, 6, trampoline_words - 1b\n"
	"	addi 7, 6, 24\n"
	"2:	ldarx 8, 0, 7\n"
	"	addi 8, 8, -1\n"
	"	stdcx. 8, 0, 7\n"
	"	bne 2b\n"
	"	sync\n"
	"	addi 4, 6, 32\n"
	"	lis 3, 0\n"
	"	ori 3, 3, 0xf000\n"
	"	sc 1\n"
	"3:	b 3b\n"
	"trampoline_end:\n"
	".popsection\n");

/* A property of one cell, wherever in the old tree it is first. */
static uint32_t cell(const char *name)
{
	const uint8_t *from = old_tree + get(old_tree + 8), *strings = old_tree + get(old_tree + 12);
	for (;;) {
		uint32_t token = get(from);
		from += 4;
		if (token == END)
			fail("the tree has no %s", name);
		if (token == BEGIN_NODE)
			from += (strlen((const char *)from) + 4) / 4 * 4;
		if (token != PROP)
			continue;
		if (get(from) == 4 && !strcmp((const char *)strings + get(from + 4), name))
			return get(from + 8);
		from += 8 + (get(from) + 3) / 4 * 4;
	}
}

static void start(void)
{
	sync();
	reboot(LINUX_REBOOT_CMD_KEXEC);
	fail("reboot: %s", strerror(errno));
}

/* Linux loads the files itself. */
static void load_files(const char *kernel, const char *initrd, const char *command)
{
	int file = open(kernel, O_RDONLY), disk = initrd ? open(initrd, O_RDONLY) : -1;
	unsigned long flags = initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	printf("kexec: %s by kexec_file_load\n", kernel);
	fflush(stdout);
	if (syscall(SYS_kexec_file_load, file, disk, strlen(command) + 1, command, flags))
		fail("kexec_file_load: %s", strerror(errno));
	start();
}

int main(int argc, char **argv)
{
	struct place place = { 0 };
	const char *initrd = NULL;
	int option, files = 0;
	while ((option = getopt(argc, argv, "fi:")) != -1) {
		if (option == 'f')
			files = 1;
		else if (option == 'i')
			initrd = optarg;
		else
			return 2;
	}
	if (argc - optind != 2) {
		fputs("usage: kexec [-f] [-i INITRD] KERNEL COMMAND-LINE\n", stderr);
		return 2;
	}
	if (files)
		load_files(argv[optind], initrd, argv[optind + 1]);
	place.command = argv[optind + 1];
	size_t old_size, elf_size, initrd_bytes = 0;
	old_tree = load("/sys/firmware/fdt", &old_size);
	if (old_size < 40 || get(old_tree) != FDT_MAGIC)
		fail("/sys/firmware/fdt is no tree");
	for (const uint8_t *entry = old_tree + get(old_tree + 16); get64(entry) | get64(entry + 8); entry += 16)
		printf("kexec: reserved %#llx to %#llx\n", (unsigned long long)get64(entry),
		       (unsigned long long)(get64(entry) + get64(entry + 8)));
	uint8_t *elf = load(argv[optind], &elf_size);
	uint8_t *initrd_data = initrd ? load(initrd, &initrd_bytes) : NULL;
	const Elf64_Ehdr *header = (void *)elf;
	if (elf_size < sizeof(*header) || memcmp(elf, ELFMAG, SELFMAG) || header->e_machine != EM_PPC64)
		fail("%s is no ELF file for this machine", argv[optind]);
	const Elf64_Phdr *program = (void *)(elf + header->e_phoff);
	uint64_t low = -1, high = 0, filled = 0;
	for (int i = 0; i < header->e_phnum; i++) {
		if (program[i].p_type != PT_LOAD)
			continue;
		uint64_t start = program[i].p_paddr, end = start + program[i].p_memsz;
		low = start < low ? start : low;
		high = end > high ? end : high;
		if (start + program[i].p_filesz > filled)
			filled = start + program[i].p_filesz;
	}
	uint8_t *image = calloc(1, up(filled - low));
	for (int i = 0; i < header->e_phnum; i++)
		if (program[i].p_type == PT_LOAD)
			memcpy(image + program[i].p_paddr - low, elf + program[i].p_offset, program[i].p_filesz);

	uint64_t tree_room = up(old_size + 2 * PAGE);
	place.kernel = find(LOWEST, up(high - low));
	uint64_t tree_at = find(place.kernel + up(high - low), tree_room);
	place.trampoline = find(tree_at + tree_room, PAGE);
	place.initrd = find(place.trampoline + PAGE, up(initrd_bytes + 1));
	place.initrd_size = initrd_bytes;
	tree = calloc(1, tree_room);
	names = calloc(1, old_size + PAGE);
	size_t tree_size = rewrite(&place);

	struct words words = { tree_at, place.kernel, place.trampoline + 0x100, sysconf(_SC_NPROCESSORS_ONLN) - 1, { 0 } };
	put((uint8_t *)words.arguments, cell("stop-self"));
	put((uint8_t *)(words.arguments + 2), 1);
	memcpy(trampoline_words, &words, sizeof(words));
	struct kexec_segment segments[] = {
		{ image, filled - low, (void *)place.kernel, up(high - low) },
		{ tree, tree_size, (void *)tree_at, tree_room },
		{ trampoline, trampoline_end - trampoline, (void *)place.trampoline, PAGE },
		{ initrd_data, initrd_bytes, (void *)place.initrd, up(initrd_bytes) },
	};
	printf("kexec: %s at %#llx, tree at %#llx\n", argv[optind], (unsigned long long)place.kernel,
	       (unsigned long long)tree_at);
	fflush(stdout);
	if (syscall(SYS_kexec_load, place.trampoline, initrd ? 4ul : 3ul, segments, KEXEC_ARCH_PPC64))
		fail("kexec_load: %s", strerror(errno));
	start();
}
