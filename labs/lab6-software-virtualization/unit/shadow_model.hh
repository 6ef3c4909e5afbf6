// SPDX-License-Identifier: MIT
#pragma once

#include "shadow_fixture.hh"

/// Guests by chance: they edit their tables, switch CR3, forget pages and access memory in kernel and
/// user mode. Whatever they meet has to be something that a CPU of their own might show.
namespace lab {

class ShadowModel : public ShadowTest {
   protected:
    static constexpr unsigned pages_of_area = 8;

    void run(Shadows::Keeping keeping, unsigned steps) {
        begin(keeping);
        Reference reference{memory()};
        std::vector<std::uint32_t> addresses;
        for (std::uint32_t i = 0; i < pages_of_area; ++i) addresses.push_back(area + i * page);
        for (const std::uint32_t each : addresses) reference.forget(cpu.cr3, each);

        for (unsigned step = 0; step < steps && !HasFailure(); ++step) {
            SCOPED_TRACE("step " + std::to_string(step));
            const std::uint32_t address = addresses[random().between(0, pages_of_area - 1)];
            switch (random().between(0, 9)) {
                case 0: {
                    const auto root = random().between(0, 1) != 0 ? directory : other_directory;
                    cpu.user_mode = false;
                    write_cr3(root);
                    for (const std::uint32_t each : addresses) reference.forget(root, each);
                    break;
                }
                case 1:
                    invalidate(address + static_cast<std::uint32_t>(random().between(0, 4095)));
                    reference.forget(cpu.cr3, address);
                    break;
                case 2:
                case 3:
                case 4: edit(); break;
                default: try_access(reference, address);
            }
            reference.look(cpu.cr3, addresses);
        }
    }

   private:
    /// The kernel writes an entry of a table, or now and then one of the directory.
    void edit() {
        cpu.user_mode = false;
        const bool of_directory = random().between(0, 5) == 0;
        const std::uint32_t root = random().between(0, 1) != 0 ? directory : other_directory;
        const auto rights = static_cast<std::uint32_t>(random().between(0, 7)) |
                            (random().between(0, 1) != 0 ? dirty | accessed : 0);
        if (of_directory) {
            const std::uint32_t to = random().between(0, 1) != 0 ? table : other_table;
            store(root + 4, to | rights);
            return;
        }
        const std::uint32_t in = random().between(0, 1) != 0 ? table : other_table;
        const auto index = static_cast<std::uint32_t>(random().between(0, pages_of_area - 1));
        const auto number = static_cast<std::uint32_t>(random().between(0, 5));
        store(in + 4 * index, (data + number * page) | rights);
    }

    void try_access(Reference& reference, std::uint32_t address) {
        cpu.user_mode = random().between(0, 1) != 0;
        const bool write = random().between(0, 1) != 0;
        const Reference::Translation now = reference.now(cpu.cr3, address);
        const auto allows = [&](const Reference::Translation& each) {
            return each.present && (!cpu.user_mode || each.user) && (!write || each.write);
        };
        const Met met = access(address + 8, write);
        const std::string what = std::string{cpu.user_mode ? "a program's " : "the kernel's "} +
                                 (write ? "write to " : "read of ") + hex(address);
        if (met.fault) {
            const std::uint32_t code =
                (now.present ? 1U : 0U) | (write ? 2U : 0U) | (cpu.user_mode ? 4U : 0U);
            EXPECT_FALSE(allows(now)) << what << " faults, and the guest's tables allow it";
            EXPECT_EQ(*met.fault, pf(code, address + 8)) << what << ": another fault";
            return;
        }
        if (!met.place) return;
        const auto& believed = reference.may_be(address);
        bool is_right = false;
        for (const auto& each : believed)
            is_right |= allows(each) && frame(each.page) + 8 == *met.place;
        EXPECT_TRUE(is_right) << what << " goes to " << hex(met.place->value())
                              << ", which no CPU of the guest's own would do";
        if (write && believed.size() == 1) {
            EXPECT_TRUE(reference.now(cpu.cr3, address).dirty)
                << what << " leaves the dirty bit at 0";
        }
    }
};

}  // namespace lab
