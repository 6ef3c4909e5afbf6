// SPDX-License-Identifier: MIT
#include "kern/cap/main/root_task.hh"

#include <algorithm>
#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/cap/interface.hh"
#include "kern/cap/lifetime.hh"
#include "kern/cap/main/micro_evidence.hh"
#include "kern/cap/methods.hh"
#include "kern/cap/threads.hh"
#include "kern/cap/tree.hh"
#include "kern/elf/elf.hh"
#include "kern/lib/panic.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern::cap {
namespace {

using elf::ProgramHeader;

constexpr std::uint64_t image_begin = 0x40'0000, image_limit = image_begin + large_page_size;
constexpr unsigned table_count = 4, root_priority = 4;
/// The only memory of a device that is given out: that of the screen.
constexpr Hpa screen{0xa'0000};
constexpr unsigned screen_bits = 17;

/// Memory of the kernel's own, clear. `bits` is log2 of its bytes, and of its alignment.
std::uint64_t take(unsigned bits) {
    const std::uint64_t pages = std::max<std::uint64_t>(1ULL << bits, page_size) / page_size;
    const auto memory = frames().allocate_run(frame_owner::kernel, pages, pages);
    check(memory.has_value(), "not enough memory for the root task");
    return reinterpret_cast<std::uint64_t>(arch::direct_map(*memory));
}

/// Fills slots one after the other.
class Giver {
   public:
    explicit Giver(World& world) : world_{&world} {}

    /// A capability that is derived from none.
    Slot& give(const Capability& capability) {
        check(next_ <= world_->root_cnode->count, "the root task's CNode is too small");
        Slot& slot = world_->root_cnode->slot(next_++);
        slot.capability = capability;
        return slot;
    }
    /// One to a new object.
    Slot& make(Type type, unsigned bits = 0) {
        return give(begin_object(world_->kernel, type, bits, take(object_bits(type, bits)), false));
    }
    /// The index of the next one.
    std::uint64_t next() const { return next_; }

   private:
    World* world_;
    std::uint64_t next_ = 1;
};

void map(World& world, Slot& frame, PageTable& space, std::uint64_t address, std::uint64_t rights) {
    check(map_frame(world.kernel, frame, space, address, rights) == Status::Done,
          "a page of the root task cannot be mapped");
}

void give_tables(World& world, Giver& giver, PageTable& space) {
    constexpr std::array<std::uint64_t, table_count> places{image_begin, image_begin, image_begin,
                                                            RootInfo::buffer_address};
    for (const std::uint64_t place : places)
        check(map_table(world.kernel, giver.make(Type::PageTable), space, place) == Status::Done,
              "a table of the root task cannot be put in");
}

bool is_in_file(const ProgramHeader& header, std::uint64_t size) {
    return header.p_filesz <= header.p_memsz && header.p_offset <= size &&
           header.p_filesz <= size - header.p_offset;
}

/// What of the segment stands in the page at `address`.
void copy_page(std::span<const std::byte> file, const ProgramHeader& header, std::uint64_t address,
               std::byte* page) {
    const std::uint64_t begin = std::max(header.p_vaddr, address);
    const std::uint64_t end = std::min(header.p_vaddr + header.p_filesz, address + page_size);
    if (begin < end)
        std::memcpy(page + (begin - address), &file[header.p_offset + begin - header.p_vaddr],
                    end - begin);
}

/// Where the image ends. Errors: see make_root_task.
std::expected<std::uint64_t, Error> end_of(const elf::Executable& executable, std::uint64_t size) {
    if (!executable.header().is_64_bit) return std::unexpected{Error::Unsupported};
    std::uint64_t end = image_begin;
    for (const ProgramHeader& header : executable.program_headers()) {
        if (header.p_type != elf::pt_load) continue;
        if (!is_in_file(header, size)) return std::unexpected{Error::Truncated};
        if (header.p_vaddr < image_begin || header.p_vaddr >= image_limit ||
            header.p_memsz > image_limit - header.p_vaddr)
            return std::unexpected{Error::Unsupported};
        end = std::max(end, header.p_vaddr + header.p_memsz);
    }
    return align_up(end, page_size);
}

void give_image(World& world, Giver& giver, PageTable& space, const elf::Executable& executable,
                std::span<const std::byte> file, std::uint64_t end) {
    for (std::uint64_t address = image_begin; address < end; address += page_size) {
        Slot& frame = giver.make(Type::Frame);
        std::uint64_t rights = read_right;
        for (const ProgramHeader& header : executable.program_headers()) {
            if (header.p_type != elf::pt_load || header.p_vaddr >= address + page_size ||
                header.p_vaddr + header.p_memsz <= address)
                continue;
            if ((header.p_flags & elf::pf_w) != 0) rights |= write_right;
            if ((header.p_flags & elf::pf_x) != 0) rights |= execute_bit;
            copy_page(file, header, address, reinterpret_cast<std::byte*>(frame.capability.object));
        }
        map(world, frame, space, address, rights);
    }
}

/// All memory that is left, and the screen's.
void give_memory(Giver& giver, RootInfo& info) {
    const auto untyped = [&](unsigned bits, Hpa address, bool is_device) {
        check(info.untyped_count < RootInfo::most_untyped, "memory is in too many pieces");
        info.untyped_bits[info.untyped_count++] = static_cast<std::uint8_t>(bits);
        giver.give({.type = Type::Untyped,
                    .rights = all_rights,
                    .size_bits = static_cast<std::uint8_t>(bits),
                    .is_device = static_cast<std::uint8_t>(is_device),
                    .object = reinterpret_cast<std::uint64_t>(arch::direct_map(address))});
    };
    info.first_untyped = giver.next();
    constexpr unsigned largest = 40;
    for (unsigned bits = largest; bits >= page_shift; --bits) {
        const std::uint64_t pages = (1ULL << bits) / page_size;
        while (pages <= frames().available()) {
            const auto memory = frames().allocate_run(frame_owner::kernel, pages, pages);
            if (!memory) break;
            untyped(bits, *memory, false);
            micro_evidence.records[0].bytes += 1ULL << bits;
        }
    }
    micro_evidence.records[0].frames_left = frames().available();
    untyped(screen_bits, screen, true);
}

}  // namespace

std::expected<void, Error> make_root_task(World& world, std::span<const std::byte> image) {
    const MemoryPeeker file{image};
    const auto executable = elf::elf_decode(file);
    if (!executable) return std::unexpected{executable.error()};
    const auto end = end_of(*executable, image.size());
    if (!end) return std::unexpected{end.error()};

    Kernel& kernel = world.kernel;
    const Capability cnode =
        begin_object(kernel, Type::CNode, RootInfo::cnode_bits,
                     take(object_bits(Type::CNode, RootInfo::cnode_bits)), false);
    world.root_cnode = &cnode_of(cnode);
    Giver giver{world};
    Slot& cnode_slot = giver.give(cnode);
    constexpr unsigned address_bits = 64;
    cnode_slot.capability.guard_bits = address_bits - RootInfo::cnode_bits;
    Tcb& root = tcb_of(giver.make(Type::Tcb).capability);
    Slot& space_slot = giver.make(Type::AddressSpace);
    giver.give({.type = Type::IrqControl, .rights = all_rights});
    giver.give({.type = Type::IoPorts, .rights = all_rights, .object = 0xffffULL << 16});
    Slot& report = giver.make(Type::Frame);
    Slot& buffer = giver.make(Type::Frame);
    std::array<Slot*, RootInfo::stack_pages> stack{};
    for (Slot*& page : stack) page = &giver.make(Type::Frame);

    auto& space = *reinterpret_cast<PageTable*>(space_slot.capability.object);
    give_tables(world, giver, space);
    map(world, buffer, space, RootInfo::buffer_address, all_rights);
    map(world, report, space, RootInfo::report_address, all_rights);
    for (std::size_t i = 0; i < stack.size(); ++i)
        map(world, *stack[i], space, RootInfo::stack_end - (stack.size() - i) * page_size,
            all_rights);
    auto& info = *reinterpret_cast<RootInfo*>(buffer.capability.object + RootInfo::address -
                                              RootInfo::buffer_address);
    info.cpus = std::min(arch::cpu_count(), most_cpus);
    info.image_address = image_begin;
    info.first_image = giver.next();
    give_image(world, giver, space, *executable, image, *end);
    info.image_pages = giver.next() - info.first_image;
    give_memory(giver, info);
    info.first_empty = giver.next();

    put_below(cnode_slot, root.cnode, cnode_slot.capability);
    put_below(space_slot, root.space, space_slot.capability);
    Capability own_buffer = buffer.capability;
    own_buffer.value = own_buffer.where = 0;
    put_below(buffer, root.buffer, own_buffer);
    root.priority = root_priority;
    world.machine.set_registers(root,
                                {.rip = executable->header().entry, .rsp = RootInfo::stack_end});
    wake(kernel, root, Place::Last);
    world.root = &root;
    world.report = reinterpret_cast<std::byte*>(report.capability.object);
    return {};
}

}  // namespace kern::cap
