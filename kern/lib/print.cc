// SPDX-License-Identifier: MIT
#include "kern/lib/print.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "kern/arch/arch.hh"

namespace kern {
namespace {

/// What stands between the braces of a replacement field.
struct Field {
    bool hexadecimal = false;
    bool zero_padded = false;
    std::size_t width = 0;
};

constexpr std::size_t widest_field = 256;

/// The field `spec` (without braces) says; nothing if it is malformed.
std::optional<Field> parse_field(std::string_view spec) {
    Field field;
    if (spec.empty()) return field;
    if (spec.front() != ':') return std::nullopt;
    spec.remove_prefix(1);
    if (spec.ends_with('x')) {
        field.hexadecimal = true;
        spec.remove_suffix(1);
    }
    field.zero_padded = spec.starts_with('0');
    for (const char c : spec) {
        if (c < '0' || c > '9') return std::nullopt;
        field.width = std::min(field.width * 10 + static_cast<std::size_t>(c - '0'), widest_field);
    }
    return field;
}

/// A number's digits, and what stands before them.
class Digits {
   public:
    Digits(std::uint64_t magnitude, unsigned base) : first_{buffer_.size()} {
        do {
            buffer_[--first_] = "0123456789abcdef"[magnitude % base];
            magnitude /= base;
        } while (magnitude != 0);
    }
    std::string_view text() const { return {buffer_.data() + first_, buffer_.size() - first_}; }

   private:
    std::array<char, 20> buffer_{};  // 2^64 - 1 has 20 decimal digits
    std::size_t first_;
};

class Formatter {
   public:
    Formatter(PrintSink sink, void* context) : sink_{sink}, context_{context} {}

    void text(std::string_view piece) {
        if (!piece.empty()) sink_(context_, piece);
    }

    void argument(const PrintArgument& value, const Field& field) {
        using Kind = PrintArgument::Kind;
        const char character = static_cast<char>(value.number);
        switch (value.kind) {
            case Kind::Text: return left(value.text, field.width);
            case Kind::Character: return left({&character, 1}, field.width);
            case Kind::Boolean: return left(value.number != 0 ? "true" : "false", field.width);
            case Kind::Unsigned: return number("", value.number, field);
            case Kind::Signed: {
                const bool negative = (value.number >> 63) != 0;
                return number(negative ? "-" : "", negative ? -value.number : value.number, field);
            }
            case Kind::Pointer: {
                Field hexadecimal = field;
                hexadecimal.hexadecimal = true;
                return number(field.hexadecimal ? "" : "0x", value.number, hexadecimal);
            }
        }
    }

   private:
    void repeat(char c, std::size_t count) {
        for (; count > 0; --count) text({&c, 1});
    }
    void left(std::string_view value, std::size_t width) {
        text(value);
        if (value.size() < width) repeat(' ', width - value.size());
    }
    void number(std::string_view prefix, std::uint64_t magnitude, const Field& field) {
        const Digits digits{magnitude, field.hexadecimal ? 16U : 10U};
        const std::size_t length = prefix.size() + digits.text().size();
        const std::size_t padding = length < field.width ? field.width - length : 0;
        if (!field.zero_padded) repeat(' ', padding);
        text(prefix);
        if (field.zero_padded) repeat('0', padding);
        text(digits.text());
    }

    PrintSink sink_;
    void* context_;
};

/// Gathers the pieces of a line, so that the console is not called for every character.
class ConsoleBuffer {
   public:
    static void sink(void* context, std::string_view piece) {
        static_cast<ConsoleBuffer*>(context)->put(piece);
    }
    void put(std::string_view piece) {
        while (!piece.empty()) {
            if (length_ == buffer_.size()) flush();
            const std::size_t count = std::min(piece.size(), buffer_.size() - length_);
            std::copy_n(piece.begin(), count,
                        buffer_.begin() + static_cast<std::ptrdiff_t>(length_));
            length_ += count;
            piece.remove_prefix(count);
        }
    }
    void flush() {
        if (length_ > 0) arch::console_write({buffer_.data(), length_});
        length_ = 0;
    }

   private:
    std::array<char, 160> buffer_;
    std::size_t length_ = 0;
};

/// The console's lock. Not a SpinLock: a fault in the middle of kprint must be able to print, so
/// the CPU that holds it passes, and after a panic everybody does.
class ConsoleLock {
   public:
    ConsoleLock() : interrupts_were_enabled_{arch::disable_interrupts()} {
        const unsigned self = arch::cpu_index();
        if (holder.load(std::memory_order_relaxed) == self) return;
        unsigned expected = nobody;
        while (!holder.compare_exchange_weak(expected, self, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
            if (panicked.load(std::memory_order_relaxed)) return;
            expected = nobody;
            arch::relax();
        }
        mine_ = true;
    }
    ~ConsoleLock() {
        if (mine_) holder.store(nobody, std::memory_order_release);
        arch::restore_interrupts(interrupts_were_enabled_);
    }
    ConsoleLock(const ConsoleLock&) = delete;
    ConsoleLock& operator=(const ConsoleLock&) = delete;

    static inline std::atomic<bool> panicked{false};

   private:
    static constexpr unsigned nobody = ~0U;
    static inline std::atomic<unsigned> holder{nobody};
    bool interrupts_were_enabled_;
    bool mine_ = false;
};

struct Cut {
    std::span<char> buffer;
    std::size_t length = 0;
};

}  // namespace

void format_to(PrintSink sink, void* context, std::string_view format,
               std::span<const PrintArgument> arguments) {
    Formatter out{sink, context};
    std::size_t next = 0;
    while (!format.empty()) {
        const std::size_t brace = std::min(format.find_first_of("{}"), format.size());
        out.text(format.substr(0, brace));
        format.remove_prefix(brace);
        if (format.empty()) break;

        if (format.starts_with("{{") || format.starts_with("}}")) {
            out.text(format.substr(0, 1));
            format.remove_prefix(2);
            continue;
        }
        const std::size_t end = format.find('}');
        if (format.front() == '}' || end == std::string_view::npos) {  // a stray brace is text
            out.text(format.substr(0, 1));
            format.remove_prefix(1);
            continue;
        }
        const auto field = parse_field(format.substr(1, end - 1));
        format.remove_prefix(end + 1);
        if (!field || next >= arguments.size()) {
            out.text("{?}");
        } else {
            out.argument(arguments[next], *field);
        }
        ++next;
    }
}

std::string_view format_into(std::span<char> buffer, std::string_view format,
                             std::span<const PrintArgument> arguments) {
    Cut cut{buffer};
    const auto sink = [](void* context, std::string_view piece) {
        auto& to = *static_cast<Cut*>(context);
        const std::size_t count = std::min(piece.size(), to.buffer.size() - to.length);
        std::copy_n(piece.begin(), count,
                    to.buffer.begin() + static_cast<std::ptrdiff_t>(to.length));
        to.length += count;
    };
    format_to(sink, &cut, format, arguments);
    return {buffer.data(), cut.length};
}

void kprint_arguments(std::string_view format, std::span<const PrintArgument> arguments) {
    const ConsoleLock lock;
    ConsoleBuffer buffer;
    format_to(ConsoleBuffer::sink, &buffer, format, arguments);
    buffer.flush();
}

void print_without_lock() {
    ConsoleLock::panicked.store(true, std::memory_order_relaxed);
}

}  // namespace kern
