# %% [markdown]
# # coloured_noise

# %%
print(1)
