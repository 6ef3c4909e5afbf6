// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <span>

#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();

/// What a page of the guest gets from the file.
struct Part {
    std::uint64_t at;      ///< first byte in the page
    std::uint64_t bytes;   ///< 0: none
    std::uint64_t offset;  ///< first byte in the file
};

/// Makes the page at utemp, and fills it.
std::int64_t make_page(std::int64_t file, const Part& part) {
    if (const auto answer = page_alloc(utemp, right_read | right_write); answer < 0) return answer;
    if (part.bytes == 0) return 0;
    if (const auto answer = seek(file, part.offset); answer < 0) return answer;
    std::span left{reinterpret_cast<std::byte*>(utemp) + part.at, part.bytes};
    while (!left.empty()) {
        const auto bytes = read(file, left);
        if (bytes <= 0) return error(Failure::bad_format);
        left = left.subspan(static_cast<std::size_t>(bytes));
    }
    return 0;
}

}  // namespace

std::int64_t map_in_guest(std::int64_t guest, std::uint64_t gpa, std::uint64_t memsz,
                          std::int64_t file, std::uint64_t filesz, std::uint64_t offset,
                          std::uint64_t perm) {
    if (filesz > memsz || memsz > greatest - gpa || filesz > greatest - offset)
        return error(Failure::invalid_argument);
    if (memsz == 0) return 0;

    const std::uint64_t first = gpa & ~(page_size - 1);
    const std::uint64_t pages = (gpa - first + memsz - 1) / page_size + 1;
    std::int64_t answer = 0;
    std::uint64_t taken = 0;  // bytes of the file
    for (std::uint64_t i = 0; i < pages && answer >= 0; ++i) {
        const std::uint64_t at = i == 0 ? gpa - first : 0;
        const Part part{at, std::min(page_size - at, filesz - taken), offset + taken};
        taken += part.bytes;
        answer = make_page(file, part);
        if (answer >= 0) answer = sys_ept_map(0, utemp, guest, first + i * page_size, perm);
    }
    page_unmap(utemp);
    return answer < 0 ? answer : 0;
}

}  // namespace user
