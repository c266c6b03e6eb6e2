/* CartPole-v1. */
#define INPUTS 4
#define OUTPUTS 2
#define LIMIT 500
#define REWARD 1.0f

static inline Ints dynamics(Floats *state, Ints action) {
    Floats x = state[0], x_dot = state[1], angle = state[2], angle_dot = state[3];
    Floats force = choose(action == 1, all(10.0f), all(-10.0f));
    Floats c = fast_cos(angle), s = fast_sin(angle);
    Floats temp = (force + 0.05f * angle_dot * angle_dot * s) * (1 / 1.1f);
    Floats angle_acc = (9.8f * s - c * temp) / (0.5f * (4.0f / 3.0f - (0.1f / 1.1f) * c * c));
    Floats x_acc = temp - (0.05f / 1.1f) * angle_acc * c;
    state[0] = x = x + 0.02f * x_dot;
    state[1] = x_dot + 0.02f * x_acc;
    state[2] = angle = angle + 0.02f * angle_dot;
    state[3] = angle_dot + 0.02f * angle_acc;
    return (x < -2.4f) | (x > 2.4f) | (angle < -0.20943951f) | (angle > 0.20943951f);
}

static void start(float *state, float (*uniform)(void)) {
    for (int i = 0; i < INPUTS; i++) state[i] = -0.05f + 0.1f * uniform();
}
