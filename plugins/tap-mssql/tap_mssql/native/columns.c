/* From the columns that an ODBC driver has filled to the buffers of Arrow arrays.

   `values` has one slot of `width` bytes a row, `lengths` the bytes of each value, -1 for NULL. What a function cannot
   take it answers with -1; what stands in the slot of a NULL is never looked at. Layouts are those of the ODBC
   reference; numbers in them have the machine's own byte order, which has to be the lowest byte first. */

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Arrow's buffers are written with the lowest byte first"
#endif

enum { ASCII = 0x80, TWO_BYTES = 0x800, REPLACEMENT = 0xFFFD };

/* Which rows have a value, as Arrow's bitmap, and how many have none. Returns the bytes of all values together; -1 where
   one is longer than its slot or, with `fixed`, not as long. */
int64_t column_validity(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int fixed,
                        uint8_t *bitmap, int64_t *nulls)
{
    (void)values;
    int64_t bytes = 0, missing = 0;
    memset(bitmap, 0, (size_t)((rows + 7) / 8));
    for (int64_t row = 0; row < rows; row++) {
        int64_t length = lengths[row];
        if (length == -1) {
            missing++;
            continue;
        }
        if (length < 0 || length > width || (fixed && length != width)) return -1;
        bitmap[row / 8] |= (uint8_t)(1u << (row % 8));
        bytes += length;
    }
    *nulls = missing;
    return bytes;
}

/* The values one after another, and where each begins. Returns whether all their bytes are ASCII. */
int64_t column_pack(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int64_t *offsets,
                    uint8_t *out)
{
    int64_t at = 0;
    uint8_t seen = 0;
    for (int64_t row = 0; row < rows; row++) {
        offsets[row] = at;
        if (lengths[row] > 0) {
            memcpy(out + at, values + row * width, (size_t)lengths[row]);
            at += lengths[row];
        }
    }
    offsets[rows] = at;
    for (int64_t byte = 0; byte < at; byte++) seen |= out[byte];
    return seen < ASCII;
}

/* How many bytes of UTF-8 the packed bytes of a code page become. `table` has for each byte its UTF-8, the first byte
   lowest, and in the uppermost byte how many there are: none for a byte that is no character, for which -1 is returned. */
int64_t column_recoded_size(const uint8_t *packed, int64_t bytes, const uint32_t *table)
{
    int64_t size = 0;
    for (int64_t byte = 0; byte < bytes; byte++) {
        uint32_t many = table[packed[byte]] >> 24;
        if (!many) return -1;
        size += many;
    }
    return size;
}

/* The packed bytes of a code page as UTF-8; the offsets become those of the new text. */
void column_recode(const uint8_t *packed, int64_t rows, const uint32_t *table, int64_t *offsets, uint8_t *out)
{
    int64_t at = 0, from = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t to = offsets[row + 1];
        offsets[row] = at;
        for (; from < to; from++) {
            uint32_t character = table[packed[from]];
            for (uint32_t many = character >> 24; many; many--, character >>= 8) out[at++] = (uint8_t)character;
        }
    }
    offsets[rows] = at;
}

static uint16_t unit_at(const uint8_t *text, int64_t at)
{
    uint16_t unit;
    memcpy(&unit, text + at, sizeof unit);
    return unit;
}

/* The next character of UTF-16, U+FFFD for half of one; `at` goes on behind it. */
static uint32_t next_character(const uint8_t *text, int64_t length, int64_t *at)
{
    uint32_t unit = unit_at(text, *at);
    *at += 2;
    if ((unit & 0xF800) != 0xD800) return unit;
    if (unit < 0xDC00 && *at < length) {
        uint32_t low = unit_at(text, *at);
        if ((low & 0xFC00) == 0xDC00) {
            *at += 2;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return REPLACEMENT;
}

/* Where each text in UTF-16 begins once it is UTF-8. Returns the bytes of all; -1 for a text of half a unit. */
int64_t column_wide_offsets(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows,
                            int64_t *offsets)
{
    int64_t size = 0;
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *text = values + row * width;
        offsets[row] = size;
        if (lengths[row] > 0 && lengths[row] % 2) return -1;
        for (int64_t at = 0; at < lengths[row];) {
            uint32_t character = next_character(text, lengths[row], &at);
            size += character < ASCII ? 1 : character < TWO_BYTES ? 2 : character < 0x10000 ? 3 : 4;
        }
    }
    offsets[rows] = size;
    return size;
}

/* The texts as UTF-8, as many bytes as `column_wide_offsets` said. */
void column_wide(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, uint8_t *out)
{
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *text = values + row * width;
        for (int64_t at = 0; at < lengths[row];) {
            uint32_t character = next_character(text, lengths[row], &at);
            if (character < ASCII) {
                *out++ = (uint8_t)character;
                continue;
            }
            if (character < TWO_BYTES) {
                *out++ = (uint8_t)(0xC0 | character >> 6);
            } else {
                if (character < 0x10000) {
                    *out++ = (uint8_t)(0xE0 | character >> 12);
                } else {
                    *out++ = (uint8_t)(0xF0 | character >> 18);
                    *out++ = (uint8_t)(0x80 | (character >> 12 & 0x3F));
                }
                *out++ = (uint8_t)(0x80 | (character >> 6 & 0x3F));
            }
            *out++ = (uint8_t)(0x80 | (character & 0x3F));
        }
    }
}

/* Bytes that are 0 or not as a bitmap. Returns 0. */
int64_t column_bits(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, uint8_t *out)
{
    memset(out, 0, (size_t)((rows + 7) / 8));
    for (int64_t row = 0; row < rows; row++) {
        if (lengths[row] > 0 && values[row * width]) out[row / 8] |= (uint8_t)(1u << (row % 8));
    }
    return 0;
}

/* SQLGUID, whose first three parts are numbers, in the order of its text, which begins with the highest byte. Returns
   0. */
int64_t column_guids(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, uint8_t *out)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int64_t row = 0; row < rows; row++, out += 16) {
        for (int byte = 0; byte < 16; byte++) out[byte] = lengths[row] < 0 ? 0 : values[row * width + order[byte]];
    }
    return 0;
}

typedef struct {
    int16_t year;
    uint16_t month, day;
} date;

typedef struct {
    uint16_t hour, minute, second;
    uint32_t nanoseconds;
} clock_time;

/* Days since 1970 of a day of the Gregorian calendar, as the calendar says it: 365 a year, and the leap days. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    static const int16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const int64_t days_to_1970 = 719162; /* from the first of January of year 1 */
    int64_t whole = year - 1;
    int64_t leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return 365 * whole + whole / 4 - whole / 100 + whole / 400 + before[month - 1] + (month > 2 && leap) + day - 1
           - days_to_1970;
}

static int is_date(const date *given)
{
    return given->year >= 1 && given->month >= 1 && given->month <= 12 && given->day >= 1 && given->day <= 31;
}

/* SQL_DATE_STRUCT as the days since 1970. Returns 0; -1 for what is no date. */
int64_t column_dates(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int32_t *out)
{
    for (int64_t row = 0; row < rows; row++) {
        date given;
        out[row] = 0;
        if (lengths[row] < 0) continue;
        memcpy(&given, values + row * width, sizeof given);
        if (!is_date(&given)) return -1;
        out[row] = (int32_t)days_since_1970(given.year, given.month, given.day);
    }
    return 0;
}

static int64_t microseconds(const uint8_t *at, int64_t gap)
{
    clock_time given;
    memcpy(&given.hour, at, 2);
    memcpy(&given.minute, at + 2, 2);
    memcpy(&given.second, at + 4, 2);
    memcpy(&given.nanoseconds, at + 6 + gap, 4);
    return ((given.hour * 60 + given.minute) * 60 + given.second) * INT64_C(1000000) + given.nanoseconds / 1000;
}

/* SQL_SS_TIME2_STRUCT as microseconds since midnight; what is less is cut. Returns 0. */
int64_t column_times(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int64_t *out)
{
    for (int64_t row = 0; row < rows; row++) {
        out[row] = lengths[row] < 0 ? 0 : microseconds(values + row * width, 2);
    }
    return 0;
}

/* SQL_TIMESTAMP_STRUCT or, 20 bytes wide, SQL_SS_TIMESTAMPOFFSET_STRUCT, whose moment is local to its offset: as the
   microseconds since 1970; what is less is cut. Returns 0; -1 for what is no date. */
int64_t column_timestamps(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int64_t *out)
{
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *slot = values + row * width;
        date given;
        out[row] = 0;
        if (lengths[row] < 0) continue;
        memcpy(&given, slot, sizeof given);
        if (!is_date(&given)) return -1;
        out[row] = days_since_1970(given.year, given.month, given.day) * INT64_C(86400000000) + microseconds(slot + 6, 0);
        if (lengths[row] > 16) {
            int16_t hours, minutes;
            memcpy(&hours, slot + 16, 2);
            memcpy(&minutes, slot + 18, 2);
            out[row] -= (hours * 60 + minutes) * INT64_C(60000000);
        }
    }
    return 0;
}

/* Decimals as 128-bit integers. Each is a SQL_NUMERIC_STRUCT of 19 bytes (precision, scale, 1 for a positive one, the
   size) or, as MS-TDS has it, money: 8 bytes, the upper half first, or 4. Returns 0; -1 for another scale or length. */
int64_t column_decimals(const uint8_t *values, int64_t width, const int64_t *lengths, int64_t rows, int64_t scale,
                        uint64_t *out)
{
    for (int64_t row = 0; row < rows; row++, out += 2) {
        const uint8_t *slot = values + row * width;
        int32_t high, small;
        uint32_t low;
        int64_t number;
        out[0] = out[1] = 0;
        switch (lengths[row]) {
        case -1:
            continue;
        case 19:
            if ((int8_t)slot[1] != scale) return -1;
            memcpy(out, slot + 3, 16);
            if (!slot[2]) {
                out[0] = ~out[0] + 1;
                out[1] = ~out[1] + !out[0];
            }
            continue;
        case 8:
            memcpy(&high, slot, 4);
            memcpy(&low, slot + 4, 4);
            number = (int64_t)((uint64_t)(uint32_t)high << 32 | low);
            break;
        case 4:
            memcpy(&small, slot, 4);
            number = small;
            break;
        default:
            return -1;
        }
        if (scale != 4) return -1;
        out[0] = (uint64_t)number;
        out[1] = number < 0 ? UINT64_MAX : 0;
    }
    return 0;
}
