/* Makes JPEG pictures in several subsamplings, and what libjpeg makes of them: raw planes, "islow". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>

static int W, H;

static void encode(const char *name, int comps, int hs, int vs, int restart) {
    struct jpeg_compress_struct c; struct jpeg_error_mgr e;
    c.err = jpeg_std_error(&e); jpeg_create_compress(&c);
    FILE *f = fopen(name, "wb"); jpeg_stdio_dest(&c, f);
    c.image_width = W; c.image_height = H; c.input_components = comps;
    c.in_color_space = comps == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
    jpeg_set_defaults(&c); jpeg_set_quality(&c, 85, TRUE);
    if (comps == 3) { c.comp_info[0].h_samp_factor = hs; c.comp_info[0].v_samp_factor = vs; }
    c.restart_interval = restart; c.dct_method = JDCT_ISLOW;
    jpeg_start_compress(&c, TRUE);
    unsigned char row[3 * 64]; JSAMPROW rows[1] = { row };
    unsigned seed = 7;
    while (c.next_scanline < H) {
        int y = c.next_scanline;
        for (int x = 0; x < W; x++) {
            seed = seed * 1103515245u + 12345u; int noise = (seed >> 16) % 24;
            unsigned char ycc[3] = { (x * 5 + y * 3 + noise) & 255, 255 - x * 5, (y * 9 + noise / 2) & 255 };
            for (int i = 0; i < comps; i++) row[x * comps + i] = ycc[i];
        }
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c); fclose(f); jpeg_destroy_compress(&c);
}

static void decode(const char *name, const char *out) {
    struct jpeg_decompress_struct d; struct jpeg_error_mgr e;
    d.err = jpeg_std_error(&e); jpeg_create_decompress(&d);
    FILE *f = fopen(name, "rb"); jpeg_stdio_src(&d, f); jpeg_read_header(&d, TRUE);
    d.raw_data_out = TRUE; d.do_fancy_upsampling = FALSE; d.dct_method = JDCT_ISLOW;
    d.out_color_space = d.jpeg_color_space;
    jpeg_start_decompress(&d);
    unsigned char *plane[3]; int stride[3], height[3];
    JSAMPARRAY arrays[3]; JSAMPROW rows[3][64];
    for (int i = 0; i < d.num_components; i++) {
        stride[i] = d.comp_info[i].width_in_blocks * 8; height[i] = d.comp_info[i].height_in_blocks * 8 + 64;
        plane[i] = calloc(stride[i] + 64, height[i]); arrays[i] = rows[i];
    }
    int mcu = d.max_v_samp_factor * 8, at = 0;
    while (d.output_scanline < d.output_height) {
        for (int i = 0; i < d.num_components; i++) {
            int n = d.comp_info[i].v_samp_factor * 8;
            for (int r = 0; r < n; r++) rows[i][r] = plane[i] + (at * n + r) * stride[i];
        }
        jpeg_read_raw_data(&d, arrays, mcu); at++;
    }
    FILE *o = fopen(out, "wb");
    for (int i = 0; i < d.num_components; i++) {
        int w = (W * d.comp_info[i].h_samp_factor + d.max_h_samp_factor - 1) / d.max_h_samp_factor;
        int h = (H * d.comp_info[i].v_samp_factor + d.max_v_samp_factor - 1) / d.max_v_samp_factor;
        for (int r = 0; r < h; r++) fwrite(plane[i] + r * stride[i], 1, w, o);
    }
    fclose(o); fclose(f);
}

int main(void) {
    struct { const char *name; int w, h, comps, hs, vs, restart; } all[] = {
        /* 44x28 is no multiple of an MCU. */
        { "420", 44, 28, 3, 2, 2, 0 },  { "422", 44, 28, 3, 2, 1, 2 },  { "444", 44, 28, 3, 1, 1, 0 },
        { "440", 44, 28, 3, 1, 2, 0 },  { "411", 44, 28, 3, 4, 1, 0 },  { "grey", 44, 28, 1, 1, 1, 0 },
        { "tall", 64, 160, 3, 2, 2, 0 }, { "tall-restarts", 64, 160, 3, 2, 1, 4 },
    };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        char jpg[64], raw[64];
        sprintf(jpg, "%s.jpg", all[i].name);
        sprintf(raw, "%s.planes", all[i].name);
        W = all[i].w; H = all[i].h;
        encode(jpg, all[i].comps, all[i].hs, all[i].vs, all[i].restart);
        if (H == 28) decode(jpg, raw);
    }
    return 0;
}
