// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>

#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

/// Accounts of frames, with their names.
namespace vmm::test {

inline constexpr std::array owners{kern::frame_owner::kernel,       kern::frame_owner::heap,
                                   kern::frame_owner::page_table,   kern::frame_owner::stack,
                                   kern::frame_owner::test,         kern::frame_owner::user_page,
                                   kern::frame_owner::environment,  frame_owner::guest_memory,
                                   frame_owner::second_level_table, frame_owner::vcpu};

/// On whose account a frame is; nothing if it is free.
inline std::optional<kern::FrameOwner> owner_of(kern::Hpa frame) {
    for (const kern::FrameOwner owner : owners)
        if (kern::frames().is_owned_by(owner, frame)) return owner;
    return std::nullopt;
}
inline std::string account_of(kern::Hpa frame) {
    const auto owner = owner_of(frame);
    return owner ? "the account \"" + std::string{owner->name} + '"' : "no account: it is free";
}

/// Says of each account on which there are more or fewer frames than before.
inline void expect_same_accounts(const kern::FrameAccounts& before) {
    const kern::FrameAccounts after = kern::frames().accounts();
    for (const kern::FrameOwner owner : owners)
        EXPECT_EQ(after[owner.index], before[owner.index])
            << "the account \"" << owner.name << "\" has " << after[owner.index]
            << " frames in use at the end of the case, and had " << before[owner.index]
            << " before it";
}

}  // namespace vmm::test
