/* The limit of the machine: the rollouts of one generation, written by hand.

   One task is compiled in (-DTASK='"mountain_car.h"' or cart_pole.h). Each thread steps LANES
   (candidate, episode) pairs side by side, one vector element per lane; a lane whose episode ends
   takes the next job from a common counter. Policy: INPUTS -> 8 tanh -> OUTPUTS, argmax,
   parameters in torch's order.

       rollouts CANDIDATES EPISODES THREADS SPREAD CENTER...

   speaks the protocol of protocol.py: a line with seconds comes in, a line of JSON goes out. Only
   rollouts are timed; populations are drawn before. */

#ifdef __AVX512F__
#include <immintrin.h>
#endif
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __AVX512F__
#define WIDTH 16 /* lanes of one vector */
#else
#define WIDTH 8
#endif
#define VECTORS (64 / WIDTH) /* 64 lanes, as zorl has */
#define LANES (WIDTH * VECTORS)
#define HIDDEN 8
#define DIM (HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1))

typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef int Ints __attribute__((vector_size(4 * WIDTH)));

static inline Floats choose(Ints condition, Floats yes, Floats no) {
    return (Floats)(((Ints)yes & condition) | ((Ints)no & ~condition));
}

static inline Floats all(float x) { return x - (Floats){0}; }

static inline Floats clamp(Floats x, float low, float high) {
#ifdef __AVX512F__ /* gcc does not see a minimum and a maximum in what is below */
    return (Floats)_mm512_min_ps(_mm512_max_ps((__m512)x, (__m512)all(low)), (__m512)all(high));
#else
    x = choose(x < low, all(low), x);
    return choose(x > high, all(high), x);
#endif
}

static inline Floats floored(Floats x) {
    for (int k = 0; k < WIDTH; k++) x[k] = floorf(x[k]);
    return x;
}

/* The approximations of zorl/rollout/compiled/fast.py, so that both sides do the same arithmetic. */
static inline Floats fast_tanh(Floats x) {
    x = clamp(x, -7, 7);
    Floats y = x * x;
    Floats p = 0.999998968f + y * (0.123220322f + y * (0.0022930674f + y * 3.99576267e-06f));
    Floats q = 1 + y * (0.456545922f + y * (0.0211515173f + y * 0.000143982046f));
    return x * p / q;
}

/* The sine of r in a quarter turn, with the sign that so many half turns give it. */
static inline Floats reduced_sin(Floats r, Floats turns) {
    Floats y = r * r;
    Floats p = -0.166666597f + y * (0.00833307859f + y * (-0.000198106907f + y * 2.60831598e-06f));
    return (r + r * y * p) * (1 - 2 * (turns - 2 * floored(turns * 0.5f)));
}

static inline Floats without_turns(Floats x, Floats turns) {
    return x - turns * 3.140625f - turns * 0.000967025757f - turns * 6.27711415e-07f;
}

static inline Floats fast_sin(Floats x) {
    Floats turns = floored(x * 0.318309886f + 0.5f);
    return reduced_sin(without_turns(x, turns), turns);
}

static inline Floats fast_cos(Floats x) {
    Floats turns = floored(x * 0.318309886f);
    return -reduced_sin(without_turns(x, turns + 0.5f), turns);
}

#include TASK

/* Parameters, states and sums: an array element per lane. */
typedef struct {
    Floats theta[DIM][VECTORS];
    Floats state[INPUTS][VECTORS];
    Floats returned[VECTORS];
    Ints length[VECTORS];
    int job[LANES];
} Lanes;

static int candidates, episodes, threads;
static float *thetas;      /* (candidates, DIM) */
static float *starts;      /* (episodes, INPUTS) */
static float *returns;     /* (candidates * episodes) */
static int *lengths;       /* likewise */
static atomic_int next_job, round_number, working;

/* One step of the lanes of vector v: all ones where an episode is over. */
static inline Ints step(Lanes *restrict lanes, int v) {
    Floats state[INPUTS], hidden[HIDDEN], best = {0};
    Ints action = {0};
    Floats(*theta)[VECTORS] = lanes->theta;
#pragma GCC unroll 8
    for (int i = 0; i < INPUTS; i++) state[i] = lanes->state[i][v];
#pragma GCC unroll 8
    for (int h = 0; h < HIDDEN; h++) {
        Floats sum = theta[HIDDEN * INPUTS + h][v];
#pragma GCC unroll 8
        for (int i = 0; i < INPUTS; i++) sum += theta[h * INPUTS + i][v] * state[i];
        hidden[h] = fast_tanh(sum);
    }
    theta += HIDDEN * (INPUTS + 1);
#pragma GCC unroll 8
    for (int o = 0; o < OUTPUTS; o++) {
        Floats sum = theta[OUTPUTS * HIDDEN + o][v];
#pragma GCC unroll 8
        for (int h = 0; h < HIDDEN; h++) sum += theta[o * HIDDEN + h][v] * hidden[h];
        Ints better = o ? sum > best : ~action;
        action = (better & o) | (~better & action);
        best = choose(better, sum, best);
    }
    Ints terminated = dynamics(state, action);
#pragma GCC unroll 8
    for (int i = 0; i < INPUTS; i++) lanes->state[i][v] = state[i];
    lanes->returned[v] += REWARD;
    lanes->length[v] += 1;
    return terminated | (lanes->length[v] >= LIMIT);
}

/* Give a lane its next job; false when there is none. */
static int refill(Lanes *lanes, int l) {
    int job = atomic_fetch_add_explicit(&next_job, 1, memory_order_relaxed);
    if (job >= candidates * episodes) {
        lanes->job[l] = -1;
        return 0;
    }
    const float *theta = thetas + (size_t)(job / episodes) * DIM;
    int v = l / WIDTH, k = l % WIDTH;
    for (int p = 0; p < DIM; p++) lanes->theta[p][v][k] = theta[p];
    for (int i = 0; i < INPUTS; i++) lanes->state[i][v][k] = starts[job % episodes * INPUTS + i];
    lanes->returned[v][k] = 0;
    lanes->length[v][k] = 0;
    lanes->job[l] = job;
    return 1;
}

static void play(Lanes *lanes) {
    int active = 0;
    for (int l = 0; l < LANES; l++) active += refill(lanes, l);
    while (active) {
        Ints ended[VECTORS], any = {0};
        int some = 0;
        for (int v = 0; v < VECTORS; v++) any |= ended[v] = step(lanes, v);
        for (int k = 0; k < WIDTH; k++) some |= any[k];
        if (!some) continue;
        for (int l = 0; l < LANES; l++) {
            int v = l / WIDTH, k = l % WIDTH;
            if (!ended[v][k]) continue;
            if (lanes->job[l] >= 0) {
                returns[lanes->job[l]] = lanes->returned[v][k];
                lengths[lanes->job[l]] = lanes->length[v][k];
                active -= !refill(lanes, l);
            } else { /* an idle lane: keep its numbers small */
                lanes->length[v][k] = 0;
                for (int i = 0; i < INPUTS; i++) lanes->state[i][v][k] = starts[i];
            }
        }
    }
}

static Lanes *new_lanes(void) {
    Lanes *lanes = aligned_alloc(64, (sizeof(Lanes) + 63) / 64 * 64);
    memset(lanes, 0, sizeof(Lanes));
    return lanes;
}

/* Waits by spinning, as a sleeping thread wakes later than a small generation takes. */
static void spin_while(atomic_int *what, int value) {
    for (long turns = 0; *what == value; turns++)
        if (turns > 20000) usleep(100);
}

static void *help(void *unused) {
    Lanes *lanes = new_lanes();
    for (int round = 0;; round++) {
        spin_while(&round_number, round);
        play(lanes);
        working--;
    }
    return unused;
}

static void generation(Lanes *lanes) {
    next_job = 0;
    working = threads - 1;
    round_number++;
    play(lanes);
    for (int left; (left = working);) spin_while(&working, left);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float uniform(void) { return (float)((rand() + 0.5) / (RAND_MAX + 1.0)); }

static float normal(void) {
    return sqrtf(-2 * logf(uniform())) * cosf(6.2831853f * uniform());
}

int main(int argc, char **argv) {
    if (argc != 5 + DIM) {
        fprintf(stderr, "expected 4 numbers and a center of %d, got %d\n", DIM, argc - 1);
        return 2;
    }
    candidates = atoi(argv[1]), episodes = atoi(argv[2]), threads = atoi(argv[3]);
    float spread = (float)atof(argv[4]);
    int jobs = candidates * episodes;
    thetas = malloc(sizeof(float) * (size_t)candidates * DIM);
    starts = malloc(sizeof(float) * (size_t)episodes * INPUTS);
    returns = malloc(sizeof(float) * (size_t)jobs);
    lengths = malloc(sizeof(int) * (size_t)jobs);
    for (int t = 1; t < threads; t++) {
        pthread_t thread;
        pthread_create(&thread, NULL, help, NULL);
    }
    Lanes *lanes = new_lanes();
    srand(1);
    printf("{\"ready\": true, \"versions\": {\"gcc\": \"%s\"}}\n", __VERSION__);
    fflush(stdout);
    char line[100];
    while (fgets(line, sizeof line, stdin)) {
        double limit = atof(line), seconds = 0;
        long steps = 0, generations = 0;
        while (seconds < limit) {
            for (int c = 0; c < candidates; c++)
                for (int p = 0; p < DIM; p++)
                    thetas[c * DIM + p] = (float)atof(argv[5 + p]) + spread * normal();
            for (int e = 0; e < episodes; e++) start(starts + e * INPUTS, uniform);
            for (int repeat = 0; repeat < 20; repeat++) {
                double began = now();
                generation(lanes);
                seconds += now() - began;
                for (int j = 0; j < jobs; j++) steps += lengths[j];
                generations++;
            }
        }
        printf("{\"env_steps\": %ld, \"episodes\": %ld, \"generations\": %ld, \"seconds\": %.9f}\n",
               steps, generations * jobs, generations, seconds);
        fflush(stdout);
    }
    return 0;
}
