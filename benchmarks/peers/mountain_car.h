/* MountainCar-v0. */
#define INPUTS 2
#define OUTPUTS 3
#define LIMIT 200
#define REWARD -1.0f

static inline Ints dynamics(Floats *state, Ints action) {
    Floats velocity = state[1] + __builtin_convertvector(action - 1, Floats) * 0.001f
                      - fast_cos(3 * state[0]) * 0.0025f;
    velocity = clamp(velocity, -0.07f, 0.07f);
    Floats position = clamp(state[0] + velocity, -1.2f, 0.6f);
    velocity = choose((position == -1.2f) & (velocity < 0), all(0), velocity);
    state[0] = position;
    state[1] = velocity;
    return (position >= 0.5f) & (velocity >= 0);
}

static void start(float *state, float (*uniform)(void)) {
    state[0] = -0.6f + 0.2f * uniform();
    state[1] = 0;
}
