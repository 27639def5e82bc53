# %% [markdown]
# # own_sampler_and_loss

# %%
print(1)
