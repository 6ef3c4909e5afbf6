// SPDX-License-Identifier: MIT
// From an ELF file to an environment. The steps are the labs' tasks; this only puts them together.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "kern/elf/elf.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/proc/environments.hh"
#include "kern/proc/iret_frame.hh"

namespace kern {
namespace {

/// Maps the stack's page, with the arguments at its low end.
std::expected<void, Error> map_stack(AddressSpace& space, std::string_view arguments) {
    const auto page =
        space.allocate_page(user_layout::stack_page, {.write = true, .execute = false});
    if (!page) return std::unexpected{page.error()};
    std::memcpy(AddressSpace::bytes(*page).data(), arguments.data(), arguments.size());
    return {};
}

std::expected<std::unique_ptr<AddressSpace>, Error> load(const elf::Executable& program,
                                                         std::string_view arguments) {
    auto space = AddressSpace::create();
    if (!space) return space;
    for (const elf::ProgramHeader& segment : program.program_headers()) {
        if (segment.p_type != elf::pt_load) continue;
        const auto mapped = map_segment(**space, segment, program.peeker());
        if (!mapped) return std::unexpected{mapped.error()};
    }
    if (const auto mapped = map_stack(**space, arguments); !mapped)
        return std::unexpected{mapped.error()};
    return space;
}

/// Prints each segment as the exercise wants it: whole pages.
void print_segments(const elf::Executable& program) {
    for (const elf::ProgramHeader& segment : program.program_headers()) {
        if (segment.p_type != elf::pt_load) continue;
        const std::uint64_t begin = align_down(segment.p_vaddr, page_size);
        kprint("  segment: virtual {}, physical {}, {:x} bytes, {}{}{}\n", Uva{begin},
               Hpa{align_down(segment.p_paddr, page_size)},
               align_up(segment.p_vaddr + segment.p_memsz, page_size) - begin,
               (segment.p_flags & elf::pf_r) != 0 ? "R" : "-",
               (segment.p_flags & elf::pf_w) != 0 ? "W" : "-",
               (segment.p_flags & elf::pf_x) != 0 ? "X" : "-");
    }
}

}  // namespace

std::expected<EnvId, Error> start_program_locked(const Peeker& program,
                                                 const ProgramOptions& options, EnvId parent) {
    if (options.arguments.size() > syscall::longest_arguments)
        return std::unexpected{Error::InvalidArgument};
    const auto decoded = elf::elf_decode(program);
    if (!decoded) return std::unexpected{decoded.error()};
    if (!decoded->header().is_64_bit) return std::unexpected{Error::Unsupported};
    // IRETQ faults in the kernel if RIP is not canonical. Any other wrong entry is the program's.
    const Uva entry{decoded->header().entry};
    if (entry >= user_layout::end) return std::unexpected{Error::OutOfRange};

    auto space = load(*decoded, options.arguments);
    if (!space) return std::unexpected{space.error()};
    auto fpu = FpuState::create(frame_owner::environment);
    if (!fpu) return std::unexpected{fpu.error()};
    std::unique_ptr<Env> env{new (std::nothrow) Env};
    if (!env) return std::unexpected{Error::OutOfMemory};
    env->space = std::move(*space);
    env->fpu.emplace(std::move(*fpu));
    env->parent = parent;
    env->name.assign(options.name);
    env->keep = options.keep;
    env->probe = options.probe;
    env->on_end = options.on_end;
    env->context = options.context;

    const IretFrame start = make_iret_frame(entry, user_layout::stack_top);
    env->frame.rip = start.rip;
    env->frame.cs = start.cs;
    env->frame.rflags = start.rflags;
    env->frame.rsp = start.rsp;
    env->frame.ss = start.ss;
    env->frame.rdi = user_layout::stack_page.value();
    env->frame.rsi = options.arguments.size();

    const auto id = environments.add(std::move(env));
    if (!id) return id;
    Env& added = *environments.find(*id);
    added.frame.rdx = *id;
    environments.make_runnable(added);
    return id;
}

std::expected<EnvId, Error> start_program(const Peeker& program, const ProgramOptions& options) {
    const LockGuard guard{environments.lock};
    return start_program_locked(program, options, 0);
}

EnvId root_invoke(const Peeker& program, const ProgramOptions& options) {
    if (const auto decoded = elf::elf_decode(program)) {
        kprint("{}: entry {}\n", options.name, Uva{decoded->header().entry});
        print_segments(*decoded);
    }
    const auto id = start_program(program, options);
    if (!id) {
        kprint("{}: {}\n", options.name, id.error());
        panic("ELF error");
    }
    return *id;
}

}  // namespace kern
