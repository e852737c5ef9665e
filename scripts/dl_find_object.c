/* gcc's unwinder asks glibc's dynamic loader where an address has its unwind table. musl has no such function, and a program that
 * cannot find the table cannot unwind: a panic would end the process. This one asks the program's own headers. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>

/* It refers to these weakly, which takes nothing out of an archive, and calls them all the same once there are threads. */
__attribute__((used)) static void *const needed[] = {
    pthread_once, pthread_mutex_lock, pthread_mutex_unlock, pthread_getspecific, pthread_setspecific, pthread_key_create,
};

/* As glibc's <dlfcn.h> has it on x86-64 and arm64. */
struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end, *link_map, *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) address;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    int is_here = 0;
    search->found->eh_frame = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        ElfW(Addr) start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_GNU_EH_FRAME)
            search->found->eh_frame = (void *)start;
        if (header->p_type == PT_LOAD && search->address - start < header->p_memsz) {
            is_here = 1;
            search->found->map_start = (void *)start;
            search->found->map_end = (void *)(start + header->p_memsz);
        }
    }
    return is_here && search->found->eh_frame;
}

int _dl_find_object(void *address, struct dl_find_object *found)
{
    struct search search = {(ElfW(Addr))address, found};
    found->flags = 0;
    found->link_map = 0;
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
