/* SPDX-License-Identifier: Apache-2.0 */

/* What the headers of an ELF file say, and whether its own end is theirs. */
#include "config.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/regular.h"
#include "plugin/objfile.h"

#define MAX_SEGMENTS 128

/* Whether [offset, offset + size) is inside of a file of that length. */
static bool is_inside(uint64_t offset, uint64_t size, uint64_t length)
{
	return offset <= length && size <= length - offset;
}

static bool is_ours(const ElfW(Ehdr) *head)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
	       head->e_ident[EI_CLASS] ==
	               (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
	       head->e_phentsize == sizeof(ElfW(Phdr));
}

static bool segments_are_inside(int fd, const ElfW(Ehdr) *head,
                                uint64_t length)
{
	ElfW(Phdr) segments[MAX_SEGMENTS];
	const size_t size = head->e_phnum * sizeof(segments[0]);

	if (head->e_phnum > MAX_SEGMENTS ||
	    pread(fd, segments, size, (off_t)head->e_phoff) != (ssize_t)size) {
		return false;
	}
	for (size_t i = 0; i < head->e_phnum; i++) {
		if (segments[i].p_type == PT_LOAD &&
		    !is_inside(segments[i].p_offset, segments[i].p_filesz,
		               length)) {
			return false;
		}
	}
	return true;
}

/* The segment of that type, if there is one. */
static bool find_segment(int fd, const ElfW(Ehdr) *head, uint32_t type,
                         ElfW(Phdr) *segment)
{
	for (size_t i = 0; i < head->e_phnum; i++) {
		const off_t at = (off_t)(head->e_phoff + i * sizeof(*segment));

		if (pread(fd, segment, sizeof(*segment), at) !=
		    sizeof(*segment)) {
			return false;
		}
		if (segment->p_type == type) {
			return true;
		}
	}
	return false;
}

static bool says_now(const ElfW(Dyn) *entry)
{
	return entry->d_tag == DT_BIND_NOW ||
	       (entry->d_tag == DT_FLAGS &&
	        (entry->d_un.d_val & DF_BIND_NOW) != 0) ||
	       (entry->d_tag == DT_FLAGS_1 &&
	        (entry->d_un.d_val & DF_1_NOW) != 0);
}

static bool dynamic_says_now(int fd, const ElfW(Phdr) *dynamic)
{
	ElfW(Dyn) entry;

	for (uint64_t at = 0; at + sizeof(entry) <= dynamic->p_filesz;
	     at += sizeof(entry)) {
		if (pread(fd, &entry, sizeof(entry),
		          (off_t)(dynamic->p_offset + at)) != sizeof(entry) ||
		    entry.d_tag == DT_NULL) {
			break;
		}
		if (says_now(&entry)) {
			return true;
		}
	}
	return false;
}

bool objfile_binds_now(const char *file)
{
	const int fd = regular_open(AT_FDCWD, file, O_RDONLY);
	ElfW(Phdr) dynamic;
	ElfW(Ehdr) head;
	bool now = false;

	if (fd < 0) {
		return false;
	}
	if (pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	    is_ours(&head) && find_segment(fd, &head, PT_DYNAMIC, &dynamic)) {
		now = dynamic_says_now(fd, &dynamic);
	}
	close(fd);
	return now;
}

/* Sections stand at the very end, so that every cut takes some of them. */
static bool is_whole(int fd, const ElfW(Ehdr) *head, uint64_t length)
{
	return is_inside(head->e_shoff,
	                 (uint64_t)head->e_shnum * head->e_shentsize, length) &&
	       segments_are_inside(fd, head, length);
}

int objfile_check(const char *file, struct bursar_error *err)
{
	const int fd = regular_open(AT_FDCWD, file, O_RDONLY);
	ElfW(Ehdr) head;
	struct stat st;
	int result = 0;

	if (fd < 0 || fstat(fd, &st) != 0) {
		result = bursar_fail(err, errno, "%s: %s", file,
		                     regular_why(errno));
		goto out;
	}
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    !is_ours(&head)) {
		goto out;
	}
	if (!is_whole(fd, &head, (uint64_t)st.st_size)) {
		result = bursar_fail(err, ENOEXEC,
		                     "%s: the file is cut short; install it "
		                     "anew", file);
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	return result;
}
