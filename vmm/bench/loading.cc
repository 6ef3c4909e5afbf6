// SPDX-License-Identifier: MIT
#include <optional>

#include "kern/elf/peeker.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/proc/env.hh"
#include "vmm/bench/bench.hh"
#include "vmm/bench/guests.hh"
#include "vmm/probe.hh"
#include "vmm/user/system_calls.hh"

namespace vmm::bench {
namespace {

constexpr std::uint64_t ram_kib = 64 * 1024;

/// What a program that loads a guest has to say at its end, when the guest is still there.
struct Loaded {
    std::optional<std::uint64_t> nanoseconds;
    std::uint64_t frames_in_use = 0;

    static void note(void* context, const kern::Env& env) {
        auto& loaded = *static_cast<Loaded*>(context);
        if (env.ending.kind == kern::Ending::Kind::Exited && env.ending.status > 0)
            loaded.nanoseconds = static_cast<std::uint64_t>(env.ending.status);
        loaded.frames_in_use = kern::frames().in_use();
    }
};

}  // namespace

std::uint64_t load_eagerly(KernelVmPager& pager) {
    std::uint64_t pages = 0;
    for (const Loader& loader : pager.loaders().all()) {
        if (loader.is_zeros()) continue;
        for (Gpa page = loader.begin().page(); page < loader.end(); page += page_size, ++pages)
            must(pager.load_page(page), "bench: eager page");
    }
    return pages;
}

void measure_loading(const Backend& backend, const kern::FileSystem& files, kern::File pages,
                     kern::File program) {
    kern::set_program_files(&files);
    serve_guest_system_calls(probe_of(backend));
    for (unsigned i = 0; i < samples; ++i) {
        std::uint64_t before = kern::frames().in_use();
        std::uint64_t count = 0;
        {
            const Stopwatch eager;
            const auto pager = make_pager(backend, pages, ram_kib);
            count = load_eagerly(*pager);
            sample("load", "eager", eager.elapsed() / count);
            sample("load-frames", "eager", kern::frames().in_use() - before);
        }
        {
            Loaded loaded;
            before = kern::frames().in_use();
            must(kern::start_program(kern::FilePeeker{program}, {.name = "load",
                                                                 .arguments = "file=touch.elf",
                                                                 .on_end = Loaded::note,
                                                                 .context = &loaded}),
                 "bench: the loading program cannot be started");
            kern::run_programs(1, 0);
            kern::check(loaded.nanoseconds.has_value(), "bench: the program did not load");
            sample("load", "sys_ept_map", *loaded.nanoseconds / count);
            sample("load-frames", "sys_ept_map", loaded.frames_in_use - before);
        }
        {
            before = kern::frames().in_use();
            const Stopwatch lazy;
            const auto vm = make_vm(make_pager(backend, pages, ram_kib));
            sample("load-frames", "lazy-at-start", kern::frames().in_use() - before);
            run_to_exit(*vm);
            sample("load", "lazy", lazy.elapsed() / touched_pages);
            sample("load-frames", "lazy", kern::frames().in_use() - before);
        }
    }
}

}  // namespace vmm::bench
