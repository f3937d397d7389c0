/* SPDX-License-Identifier: Apache-2.0 */

/* The dynamic symbols that a shared object defines for others. */
#include "config.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"

struct image {
	const char *data;
	size_t      size;
};

/* `count` things of `each` bytes at `offset`, or NULL. */
static const void *part(const struct image *image, size_t offset, size_t count,
                        size_t each)
{
	if (offset > image->size || each == 0 ||
	    count > (image->size - offset) / each) {
		return NULL;
	}
	return image->data + offset;
}

static const ElfW(Shdr) *sections(const struct image *image, size_t *count)
{
	const ElfW(Ehdr) *head = part(image, 0, 1, sizeof(*head));

	if (head == NULL || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_ident[EI_CLASS] !=
	    (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) {
		return NULL;
	}
	*count = head->e_shnum;
	return part(image, head->e_shoff, head->e_shnum, sizeof(ElfW(Shdr)));
}

static bool is_exported(const ElfW(Sym) *symbol)
{
	const unsigned bind = symbol->st_info >> 4;
	const unsigned visible = symbol->st_other & 3;

	return symbol->st_shndx != SHN_UNDEF &&
	       (bind == STB_GLOBAL || bind == STB_WEAK ||
	        bind == STB_GNU_UNIQUE) &&
	       (visible == STV_DEFAULT || visible == STV_PROTECTED);
}

static bool walk(const struct image *image,
                 void (*each)(void *context, const char *name), void *context)
{
	size_t count = 0;
	const ElfW(Shdr) *all = sections(image, &count);

	for (size_t i = 0; all != NULL && i < count; i++) {
		if (all[i].sh_type != SHT_DYNSYM || all[i].sh_link >= count) {
			continue;
		}
		const size_t symbols = all[i].sh_size / sizeof(ElfW(Sym));
		const ElfW(Sym) *symbol = part(image, all[i].sh_offset,
		                               symbols, sizeof(*symbol));
		const ElfW(Shdr) *texts = &all[all[i].sh_link];
		const char *text = part(image, texts->sh_offset,
		                        texts->sh_size, 1);

		for (size_t k = 0; symbol != NULL && text != NULL &&
		     k < symbols; k++) {
			if (is_exported(&symbol[k]) &&
			    symbol[k].st_name < texts->sh_size) {
				each(context, text + symbol[k].st_name);
			}
		}
		return symbol != NULL && text != NULL;
	}
	return false;
}

bool elf_exports(const char *file,
                 void (*each)(void *context, const char *name), void *context)
{
	const int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
		kit_broken(file);
	}
	const struct image image = {
		.data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
		             fd, 0),
		.size = (size_t)st.st_size,
	};
	close(fd);
	if (image.data == MAP_FAILED) {
		kit_broken(file);
	}
	return walk(&image, each, context);
}
