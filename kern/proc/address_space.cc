// SPDX-License-Identifier: MIT
#include "kern/proc/address_space.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "kern/arch/arch.hh"

namespace kern {

struct AddressSpace::SharedFrame {
    Hpa frame;
    std::uint64_t users;          ///< pages and references; the last one frees it
    SharedFrame* next = nullptr;  ///< in its chain of the index
    /// Those with a reference, by frame: chains of those whose numbers are equal modulo its size. A
    /// table of a guest remembers no more than the address.
    static std::array<SharedFrame*, 1024> index;
    static SharedFrame*& chain_of(Hpa frame) {
        return index[(frame.value() >> page_shift) % index.size()];
    }
    /// Where the pointer to the frame's own stands; a null pointer stands there if it is not in.
    static SharedFrame*& find(Hpa frame) {
        SharedFrame** link = &chain_of(frame);
        while (*link != nullptr && (*link)->frame != frame) link = &(*link)->next;
        return *link;
    }
};
constinit std::array<AddressSpace::SharedFrame*, 1024> AddressSpace::SharedFrame::index{};

namespace {

constexpr std::size_t first_capacity = 16;

std::expected<void, Error> check_page(Uva address) {
    if (!address.is_aligned()) return std::unexpected{Error::Unaligned};
    if (address < user_layout::begin || address >= user_layout::end)
        return std::unexpected{Error::OutOfRange};
    return {};
}

Attributes attributes_of(Rights rights) {
    Attributes attributes = Attributes::present | Attributes::user;
    if (rights.write) attributes = attributes | Attributes::write;
    if (!rights.execute) attributes = attributes | Attributes::no_execute;
    return attributes;
}

/// How many bytes from `address` on lie in its page, `left` at most.
std::uint64_t piece_of_page(Uva address, std::uint64_t left) {
    return std::min(left, page_size - address.page_offset());
}

}  // namespace

std::expected<std::unique_ptr<AddressSpace>, Error> AddressSpace::create() {
    auto table = Ptab::create();
    if (!table) return std::unexpected{table.error()};
    std::unique_ptr<AddressSpace> space{new (std::nothrow) AddressSpace{std::move(*table)}};
    if (!space) return std::unexpected{Error::OutOfMemory};
    return space;
}

AddressSpace::~AddressSpace() {
    for (std::size_t i = 0; i < count_; ++i) drop(pages_[i].frame);
}

void AddressSpace::drop(SharedFrame* frame) {
    // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): it does not see what new fills in
    if (--frame->users != 0) return;
    // Only a frame with a reference is in the index; one that had some stays there till its end.
    if (SharedFrame*& link = SharedFrame::find(frame->frame); link != nullptr) link = link->next;
    frames().free(frame_owner::user_page, frame->frame);
    delete frame;
}

std::size_t AddressSpace::index_at_or_above(Uva address) const {
    const Entry* const begin = pages_.get();
    return static_cast<std::size_t>(
        std::lower_bound(begin, begin + count_, address,
                         [](const Entry& entry, Uva wanted) { return entry.address < wanted; }) -
        begin);
}

AddressSpace::Entry* AddressSpace::entry_of(Uva address) const {
    const std::size_t index = index_at_or_above(address);
    return index < count_ && pages_[index].address == address ? &pages_[index] : nullptr;
}

/// Lets `address` show `frame`, of which the caller has counted this page already. After an error
/// the caller takes it back.
std::expected<void, Error> AddressSpace::put(Uva address, SharedFrame* frame, Rights rights) {
    Entry* const old = entry_of(address);
    if (old == nullptr && count_ == capacity_) {
        const std::size_t capacity = std::max(first_capacity, 2 * capacity_);
        std::unique_ptr<Entry[]> pages{new (std::nothrow) Entry[capacity]{}};
        if (!pages) return std::unexpected{Error::OutOfMemory};
        std::copy_n(pages_.get(), count_, pages.get());
        pages_ = std::move(pages);
        capacity_ = capacity;
    }
    const auto mapped = table_.insert_mapping(address, frame->frame, attributes_of(rights));
    if (!mapped) return mapped;
    const Entry entry{.address = address, .rights = rights, .frame = frame};
    if (old != nullptr) {
        drop(old->frame);
        *old = entry;
        return {};
    }
    const std::size_t index = index_at_or_above(address);
    std::copy_backward(&pages_[index], pages_.get() + count_, pages_.get() + count_ + 1);
    pages_[index] = entry;
    ++count_;
    return {};
}

std::expected<void, Error> AddressSpace::renew_page(Uva address, Rights rights) {
    if (const auto valid = check_page(address); !valid) return valid;
    const auto frame = frames().allocate(frame_owner::user_page);
    if (!frame) return std::unexpected{frame.error()};
    auto* const shared = new (std::nothrow) SharedFrame{.frame = *frame, .users = 1};
    if (shared == nullptr) {
        frames().free(frame_owner::user_page, *frame);
        return std::unexpected{Error::OutOfMemory};
    }
    const auto done = put(address, shared, rights);
    if (!done) drop(shared);
    return done;
}

std::expected<UserPage, Error> AddressSpace::allocate_page(Uva address, Rights rights) {
    if (const auto valid = check_page(address); !valid) return std::unexpected{valid.error()};
    if (entry_of(address) != nullptr) return std::unexpected{Error::AlreadyExists};
    if (const auto done = renew_page(address, rights); !done) return std::unexpected{done.error()};
    return page(index_at_or_above(address));
}

std::expected<void, Error> AddressSpace::share_page(Uva address, const AddressSpace& source,
                                                    Uva source_address, Rights rights) {
    if (const auto valid = check_page(address); !valid) return valid;
    if (const auto valid = check_page(source_address); !valid) return valid;
    const Entry* const from = source.entry_of(source_address);
    if (from == nullptr) return std::unexpected{Error::NotFound};
    if ((from->rights | rights) != from->rights) return std::unexpected{Error::InvalidArgument};
    SharedFrame* const shared = from->frame;
    ++shared->users;
    const auto done = put(address, shared, rights);
    if (!done) --shared->users;  // the source still has it
    return done;
}

std::expected<void, Error> AddressSpace::set_rights(Uva address, Rights rights) {
    if (const auto valid = check_page(address); !valid) return valid;
    Entry* const entry = entry_of(address);
    if (entry == nullptr) return std::unexpected{Error::NotFound};
    const auto done = table_.insert_mapping(address, entry->frame->frame, attributes_of(rights));
    if (done) entry->rights = rights;
    return done;
}

std::expected<void, Error> AddressSpace::unmap_page(Uva address) {
    if (const auto valid = check_page(address); !valid) return valid;
    Entry* const entry = entry_of(address);
    if (entry == nullptr) return std::unexpected{Error::NotFound};
    if (const auto done = table_.insert_mapping(address, Hpa{}, Attributes::none); !done)
        return done;
    drop(entry->frame);
    std::copy(entry + 1, pages_.get() + count_, entry);
    --count_;
    return {};
}

std::optional<UserPage> AddressSpace::find(Uva address) const {
    const Entry* const entry = entry_of(address.page());
    if (entry == nullptr) return std::nullopt;
    return UserPage{entry->address, entry->frame->frame, entry->rights};
}

std::optional<UserFrame> AddressSpace::reference(Uva address) const {
    const Entry* const entry = entry_of(address.page());
    if (entry == nullptr) return std::nullopt;
    SharedFrame* const shared = entry->frame;
    if (SharedFrame*& link = SharedFrame::find(shared->frame); link == nullptr) link = shared;
    ++shared->users;
    return UserFrame{shared->frame, entry->rights};
}

void UserFrame::give_back(Hpa frame) {
    AddressSpace::SharedFrame* const shared = AddressSpace::SharedFrame::find(frame);
    check(shared != nullptr, "UserFrame::give_back: nobody has a reference to this frame");
    AddressSpace::drop(shared);
}

UserPage AddressSpace::page(std::size_t index) const {
    check(index < count_, "AddressSpace::page: there are not so many");
    return {pages_[index].address, pages_[index].frame->frame, pages_[index].rights};
}

std::span<std::byte, page_size> AddressSpace::bytes(const UserPage& page) {
    return std::span<std::byte, page_size>{arch::direct_map(page.frame), page_size};
}

bool AddressSpace::allows(Uva begin, std::uint64_t size, bool write) const {
    if (size > user_layout::end.value() || begin > user_layout::end - size) return false;
    for (std::uint64_t done = 0; done < size; done += piece_of_page(begin + done, size - done)) {
        const Entry* const entry = entry_of((begin + done).page());
        if (entry == nullptr || (write && !entry->rights.write)) return false;
    }
    return true;
}

std::expected<void, Error> AddressSpace::copy_from_user(std::span<std::byte> to, Uva from) const {
    if (!allows(from, to.size(), false)) return std::unexpected{Error::OutOfRange};
    while (!to.empty()) {
        const std::uint64_t size = piece_of_page(from, to.size());
        const auto source =
            bytes(page(index_at_or_above(from.page()))).subspan(from.page_offset(), size);
        std::memcpy(to.data(), source.data(), size);
        to = to.subspan(size);
        from += size;
    }
    return {};
}

std::expected<void, Error> AddressSpace::copy_to_user(Uva to, std::span<const std::byte> from) {
    if (!allows(to, from.size(), true)) return std::unexpected{Error::OutOfRange};
    while (!from.empty()) {
        const std::uint64_t size = piece_of_page(to, from.size());
        const auto target =
            bytes(page(index_at_or_above(to.page()))).subspan(to.page_offset(), size);
        std::memcpy(target.data(), from.data(), size);
        from = from.subspan(size);
        to += size;
    }
    return {};
}

}  // namespace kern
