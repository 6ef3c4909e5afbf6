// SPDX-License-Identifier: MIT
#include "vmm/svm/code_reader.hh"

#include <span>

#include "kern/arch/arch.hh"
#include "vmm/backend.hh"

namespace vmm::svm {
namespace {

constexpr std::uint64_t lower_half = 0xffff'ffff;

}  // namespace

/// The page in the direct map; null if it is not present.
[[gnu::hot]] const std::byte* CodeReader::find_page(Gva page,
                                                    const GuestMemory::GuestPaging& paging) {
    if (page_is_good_.load() && page_ == page && paging_ == paging && walk_.still_holds())
        return page_bytes_;
    page_is_good_.store(true);  // before the walk: from here on a change is seen
    const auto host = memory_.gva2hpa(page, paging, &walk_);
    if (!host) {
        page_is_good_.store(false);
        return nullptr;
    }
    page_ = page;
    paging_ = paging;
    page_bytes_ = kern::arch::direct_map(*host);
    return page_bytes_;
}

[[gnu::hot]] std::optional<Instruction> CodeReader::read(const SaveArea& save, std::uint64_t rip,
                                                         std::uint64_t exit_code,
                                                         std::uint64_t exit_information) {
    const bool is_64_bit_code = is_64_bit(save);
    const Gva at{is_64_bit_code ? rip : (save.cs.base + rip) & lower_half};
    const GuestMemory::GuestPaging paging{
        .cr0 = save.cr0, .cr3 = save.cr3, .cr4 = save.cr4, .efer = save.efer};
    Bytes bytes;
    if (at.page_offset() > page_size - bytes.size()) {
        const std::size_t size = memory_.read(at, paging, bytes);
        return decode_instruction(exit_code, exit_information, std::span{bytes}.first(size),
                                  is_64_bit_code);
    }
    const std::byte* const page = find_page(at.page(), paging);
    if (page == nullptr) return std::nullopt;
    const std::byte* const here = page + at.page_offset();
    constexpr std::size_t last_at = bytes.size() - sizeof(std::uint64_t);
    Question question{.exit_code = exit_code,
                      .exit_information = exit_information,
                      .is_64_bit_code = is_64_bit_code};
    __builtin_memcpy(&question.first, here, sizeof(question.first));
    __builtin_memcpy(&question.last, here + last_at, sizeof(question.last));
    if (question == question_) return answer_;
    __builtin_memcpy(bytes.data(), &question.first, sizeof(question.first));
    __builtin_memcpy(bytes.data() + last_at, &question.last, sizeof(question.last));
    question_ = question;
    answer_ = decode_instruction(exit_code, exit_information, bytes, is_64_bit_code);
    return answer_;
}

}  // namespace vmm::svm
